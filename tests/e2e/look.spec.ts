// Every screen in both themes over invented data: nothing for axe to find, nothing that the page complains
// of, and a picture of each in test-results/look for a person to look at.
import type { Locator } from "@playwright/test";
import { inventedId } from "../fixtures/invented-ward.js";
import { expect, test } from "./fake-session.js";

const SMALL = [1280, 720] as const;
const LARGE = [2560, 1440] as const;

for (const theme of ["light", "dark"] as const) {
  test(`every screen, ${theme}`, async ({ session }) => {
    await session.startAgent();
    const { panel, view } = await session.open({ theme, size: SMALL });
    const { page } = panel;
    const shoot = async (name: string, settled: Locator): Promise<void> => {
      await expect(settled).toBeVisible();
      await page.screenshot({
        path: `test-results/look/${name}-${theme}.png`,
        animations: "disabled",
      });
      await view.expectNoAccessibilityViolations(`${name}, ${theme}`);
    };
    const escape = async (): Promise<void> => {
      await page.keyboard.press("Escape");
      await expect(view.dialog).toHaveCount(0);
    };

    await test.step("a running application with a branching timeline", async () => {
      await expect(view.image(/two admissions entered/)).toBeVisible();
      await expect(view.terminal).toContainText("WARD 3");
      await shoot("running", view.image(/two admissions entered/));
      // Where the pointer happens to be is nothing to take a picture of.
      await page.mouse.move(120, 12);
      await panel.resize(1440, 900);
      await shoot("running-medium", view.image(/two admissions entered/));
      await panel.resize(...LARGE);
      await shoot("running-large", view.image(/two admissions entered/));
      await panel.resize(3840, 2160);
      await shoot("running-4k", view.image(/two admissions entered/));
      await panel.resize(960, 600);
      await shoot("running-smallest", view.image(/two admissions entered/));
      await panel.resize(...SMALL);
      // Text at twice its size.
      const zoom = (level: number): Promise<void> =>
        panel.app.evaluate(
          ({ BrowserWindow }, to) => BrowserWindow.getAllWindows()[0]?.webContents.setZoomLevel(to),
          level,
        );
      await zoom(3.8);
      await expect.poll(() => page.evaluate(() => window.innerWidth)).toBeLessThan(660);
      await shoot("running-zoomed", view.image(/two admissions entered/));
      const overflow = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return scrollWidth - clientWidth;
      });
      expect(overflow).toBe(0);
      await zoom(0);
      await expect.poll(() => page.evaluate(() => window.innerWidth)).toBe(SMALL[0]);
    });

    await test.step("an image that is damaged", async () => {
      await view.images.focus();
      await view.image(/two admissions entered/).click();
      for (let row = 0; row < 12; row += 1) await page.keyboard.press("ArrowDown");
      await shoot("damaged", view.details.getByText(/does not match its checksum/));
    });

    await test.step("dialogs", async () => {
      await view.image(/Damaged/).press("Home");
      await view.imageAction("Restore this image").click();
      await shoot("restore", view.dialog.getByText("Nothing is lost."));
      await view.dialog.getByText("Capture the running state first").click();
      await shoot("restore-uncovered", view.dialog.getByText(/of the running state are lost/));
      await escape();
      await view.imageAction("Delete").click();
      await shoot("delete", view.dialog.getByText("Delete this boot image?"));
      await escape();
      await view.details.getByRole("button", { name: "Write a remark" }).click();
      await shoot("remark", view.dialog.getByRole("textbox", { name: "Remark" }));
      await escape();
      await view.timeline.getByRole("button", { name: "What happened" }).click();
      await shoot("history", view.dialog.getByText(/is not known to be healthy/));
      await escape();
      await view.timeline.getByRole("button", { name: "Policy" }).click();
      await expect(view.dialog.getByRole("textbox")).toHaveValue(/newest-healthy/);
      await view.dialog.getByRole("button", { name: "Check" }).click();
      await shoot("policy", view.dialog.getByText(/At the next crash/));
      await escape();
      await view.imageAction("Contents").click();
      await shoot("contents", view.dialog.getByText("Process tree"));
      await escape();
      await view.action("More ways to capture").click();
      await shoot("capture-menu", page.getByRole("menuitem", { name: "Capture with a label…" }));
      await page.getByRole("menuitem", { name: "Capture with a label…" }).click();
      await shoot("capture", view.dialog.getByLabel("Label"));
      await escape();
      await view.action("More ways to capture").click();
      await page.getByRole("menuitem", { name: "What stands in the way?" }).click();
      await shoot("inspection", view.dialog.getByText(/can’t be captured/).first());
      await escape();
      await view.action("Stop").click();
      await shoot("stop", view.dialog.getByText("Stop Ward board?"));
      await escape();
      await page.getByRole("button", { name: "Machine and stores" }).click();
      await shoot("machine", view.dialog.getByText("userfaultfd"));
      await escape();
      await page.getByRole("button", { name: "2 notices" }).click();
      await shoot("notices", view.dialog.getByText(/ended by SIGSEGV/));
      await escape();
      await page.getByRole("button", { name: "Keyboard" }).click();
      await shoot("shortcuts", view.dialog.getByText("Go to the next pane"));
      await escape();
    });

    await test.step("the other states", async () => {
      await view.choose("Medication cart");
      await shoot("hibernated", view.terminal.getByText("Medication cart is hibernated"));
      await view.choose("Laboratory results");
      await shoot("capturing", view.operation.getByRole("button", { name: "Cancel" }));
      await view.choose("Triage kiosk");
      await shoot("no-images", view.timeline.getByText("No boot images yet"));
      await view.choose("Bed planner");
      await shoot("failed", view.terminal.getByText("Bed planner has failed"));
      await view.choose("ECG archive");
      await shoot("broken-file", page.getByText(/The file of ECG archive has an error/));
    });

    await test.step("a failure", async () => {
      session.agent.refuse("capture.start", "blocked", {
        happened: "Ward board can’t be captured: 1 thing in its process tree stands in the way.",
        unchanged: "It was not frozen and runs on as before; no file was written.",
        remedy: "Let the program close its connection before, then capture again.",
        applicationId: "ward-board",
        blockers: [
          {
            code: "socket-inet",
            pid: 48213,
            comm: "python3",
            subject: "fd 5 → TCP 10.1.4.7:5432",
            message: "is connected to another machine, and the other end can’t be captured.",
            remedy: null,
          },
        ],
      });
      await view.choose("Ward board");
      await view.action("Capture now").click();
      await shoot("toast", view.toasts.getByText("Capturing Ward board failed"));
      await view.toasts.getByRole("button", { name: "Dismiss", exact: true }).click();
    });

    await test.step("no agent any more", async () => {
      await session.agent.stop();
      await shoot("connection-lost", page.getByRole("alert"));
    });
    expect(panel.complaints).toEqual([]);
  });

  test(`nothing there yet, ${theme}`, async ({ session, ward }) => {
    const { panel, view } = await session.open({ theme, size: SMALL });
    const unreachable = panel.page.getByRole("heading", { name: "The agent is not running" });
    await expect(unreachable).toBeVisible();
    await panel.page.screenshot({ path: `test-results/look/no-agent-${theme}.png` });
    await view.expectNoAccessibilityViolations(`no agent, ${theme}`);

    Object.assign(ward, { applications: [], images: [], operations: [], notices: [] });
    // Its socket is root's alone at first.
    await session.agent.start();
    const refused = panel.page.getByRole("heading", { name: "This user may not use the agent" });
    await expect(refused).toBeVisible();
    await panel.page.screenshot({ path: `test-results/look/not-permitted-${theme}.png` });
    await session.startAgent();
    // It is found again without being asked to.
    await expect(panel.page.getByRole("heading", { name: "No applications yet" })).toBeVisible();
    await panel.page.screenshot({ path: `test-results/look/no-applications-${theme}.png` });
    await view.expectNoAccessibilityViolations(`no applications, ${theme}`);
    expect(panel.complaints).toEqual([]);
  });
}

// More of everything than anybody wants: nothing may push anything else out of sight.
test("crowded: 40 applications, 200 images, names and labels as long as they may be", async ({
  session,
  ward,
}) => {
  const long = "Admissions of the surgical and paediatric wards, third floor of the old building ";
  const [pattern] = ward.images;
  const [board] = ward.applications;
  if (pattern === undefined || board === undefined) throw new Error("the ward is not empty");
  const newest = Date.now();
  ward.images = Array.from({ length: 200 }, (_, index) => ({
    ...pattern,
    id: inventedId(1000 + index),
    createdAt: new Date(newest - index * 41 * 60_000).toISOString(),
    label: index % 3 === 0 ? `${long.repeat(3).slice(0, 190)} ${index}` : null,
    lineageParentId: index === 199 ? null : inventedId(1001 + index),
    pinned: index % 5 === 1,
    suspectFor: index % 4 === 2 ? (["crash", "hang"] as const).slice() : [],
    failures: index % 4 === 2 ? 3 : 0,
    healthyAt: index % 4 === 3 ? new Date(newest).toISOString() : null,
    remark: index === 0 ? long.repeat(20).slice(0, 1900) : null,
  }));
  Object.assign(board, { name: long.slice(0, 100).trim(), imageCount: 200 });
  ward.applications = [
    board,
    ...Array.from({ length: 39 }, (_, index) => ({
      ...board,
      id: `kiosk-${index}`,
      name: `${index} ${long}`.slice(0, 100).trim(),
      order: index + 2,
      imageCount: 0,
    })),
  ];
  ward.notices = Array.from({ length: 120 }, (_, index) => ({
    id: 200 - index,
    at: new Date(newest - index * 60_000).toISOString(),
    severity: "error" as const,
    applicationId: board.id,
    message: `An image that was due (schedule) was not taken. ${long.repeat(4)}`,
  }));
  await session.startAgent();
  const { panel, view } = await session.open({ theme: "light", size: SMALL });
  const { page } = panel;
  const first = view.images.getByRole("option").first();
  const shoot = async (name: string): Promise<void> => {
    await page.screenshot({
      path: `test-results/look/crowded-${name}.png`,
      animations: "disabled",
    });
    await view.expectNoAccessibilityViolations(`crowded, ${name}`);
    const overflow = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(overflow).toBe(0);
  };
  await expect(first).toBeVisible();
  await first.click();
  await page.mouse.move(120, 12);
  await shoot("small");
  // What an image is stands in its row in full.
  const cut = await view.images.locator(".image-status").evaluateAll(
    (all) =>
      all.filter((each) => {
        const row = each.closest(".timeline-row");
        return (
          row !== null && each.getBoundingClientRect().right > row.getBoundingClientRect().right
        );
      }).length,
  );
  expect(cut).toBe(0);
  // Not one of the header's actions is out of reach.
  for (const action of ["Capture now", "Hibernate", "Stop"]) {
    await expect(view.action(action)).toBeInViewport({ ratio: 1 });
  }
  await panel.resize(1920, 1080);
  await shoot("medium");
  // The sizes of each image and its pause are seen on the screens that most people have.
  for (const head of ["State · Physical · Virtual", "Pause"]) {
    await expect(view.timeline.getByText(head, { exact: true })).toBeInViewport();
  }
  await panel.resize(2560, 1440);
  await shoot("large");
  await panel.resize(...SMALL);
  await view.images.focus();
  await page.keyboard.press("End");
  await expect(view.images.getByRole("option").last()).toBeInViewport();
  await view.imageAction("Restore this image").click();
  await expect(view.dialog).toBeVisible();
  await shoot("restore");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "120 notices" }).click();
  await expect(view.dialog).toBeVisible();
  await shoot("notices");
  await expect(view.dialog.getByRole("button", { name: "Dismiss all" })).toBeInViewport();
  await page.keyboard.press("Escape");
  expect(panel.complaints).toEqual([]);
});
