// The panel's main job, walked through by hand: real window, agent, helper and application. What is typed
// is captured, changed, put back, hibernated, and woken by a panel and an agent that were not there before.
import { expect, isAlive, test } from "./real-session.js";
import type { PanelPage } from "./panel-page.js";

const SAMPLE = "Ward board (sample)";

interface Status {
  readonly pid: number;
  readonly uptimeSeconds: number;
}

/** What the board says of itself on its status line: " Up 0:00:12   PID 2   …". */
async function readStatus(view: PanelPage): Promise<Status | null> {
  const [, uptime, pid] = /Up ([\d:]+) +PID (\d+)/.exec(await view.terminalText()) ?? [];
  if (uptime === undefined || pid === undefined) return null;
  const uptimeSeconds = uptime.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return { pid: Number(pid), uptimeSeconds };
}

async function status(view: PanelPage): Promise<Status> {
  await expect.poll(() => readStatus(view)).not.toBeNull();
  const read = await readStatus(view);
  if (read === null) throw new Error("the status line went away while it was read");
  return read;
}

async function expectNote(view: PanelPage, draft: string): Promise<void> {
  await expect.poll(() => view.terminalText(), { timeout: 20_000 }).toContain(`New note: ${draft}`);
}

test("capture, change, restore, hibernate, restart everything, wake", async ({ session }) => {
  const agent = await session.startAgent();
  const { panel, view } = await session.open();
  await view.choose(SAMPLE);

  await test.step("the sample runs", async () => {
    await expect(view.action("Start").or(view.action("Stop"))).toHaveCount(2);
    if (await view.action("Start").isEnabled()) await view.action("Start").click();
    await view.expectState("Running");
    await expect.poll(() => view.terminalText()).toContain("all invented");
    await expect(view.application(SAMPLE)).toContainText("MiB");
  });

  await test.step("type, and capture", async () => {
    await view.typeIntoTerminal("slept well");
    await expectNote(view, "slept well");
    await view.action("Capture now").click();
    await expect(view.operation).toContainText(/Captured .*: image [0-9a-f]{8}, stood still for/, {
      timeout: 30_000,
    });
    await expect(view.imageRows).toHaveCount(1);
    await view.expectState("Running");
  });
  const atCapture = await status(view);
  const firstRootPid = Number(await view.page.locator(".life-facts dd").nth(2).textContent());

  await test.step("type something else", async () => {
    await view.typeIntoTerminal(", and woke at six");
    await expectNote(view, "slept well, and woke at six");
  });

  const restoredAt = Date.now();
  await test.step("restore: what runs is captured first, the first text is back", async () => {
    await view.image(/Operator/).click();
    await view.imageAction("Restore this image").click();
    await expect(view.dialog).toContainText("Nothing is lost.");
    await view.answer("Capture and restore");
    await expect(view.operation).toContainText(/Restored .*: image [0-9a-f]{8}/, {
      timeout: 30_000,
    });
    await view.expectState("Running");
    await expect
      .poll(() => view.terminalText(), { timeout: 20_000 })
      .toMatch(/New note: slept well *$/m);
    await expect(view.image(/Before restore/)).toBeVisible();
    await expect(view.image(/Operator/)).toContainText("Running from this");
  });

  await test.step("it goes on from there: same PID, no jump of its clock, and it takes keys", async () => {
    const after = await status(view);
    const sinceRestore = (Date.now() - restoredAt) / 1000;
    expect(after.pid).toBe(atCapture.pid);
    // Read a little after the capture, so a life that goes on from it may stand a little before.
    expect(after.uptimeSeconds).toBeGreaterThanOrEqual(atCapture.uptimeSeconds - 5);
    expect(after.uptimeSeconds).toBeLessThanOrEqual(atCapture.uptimeSeconds + sinceRestore + 2);
    await expect
      .poll(async () => (await status(view)).uptimeSeconds)
      .toBeGreaterThan(after.uptimeSeconds);
    expect(isAlive(firstRootPid)).toBe(false);
    await view.typeIntoTerminal(", no pain");
    await expectNote(view, "slept well, no pain");
  });

  const rootPid = Number(await view.page.locator(".life-facts dd").nth(2).textContent());
  const atHibernation = await status(view);
  await test.step("hibernate: the tree is gone", async () => {
    expect(isAlive(rootPid)).toBe(true);
    await view.action("Hibernate").click();
    await view.expectState("Hibernated");
    await expect.poll(() => isAlive(rootPid)).toBe(false);
    await expect(view.terminal).toContainText("is hibernated");
  });
  expect(panel.complaints).toEqual([]);

  await test.step("close panel and agent, start both again", async () => {
    await panel.close();
    await agent.stop();
    await session.startAgent();
  });

  const again = await session.open();
  await test.step("wake", async () => {
    await again.view.choose(SAMPLE);
    await again.view.expectState("Hibernated");
    await expect(again.view.imageRows).toHaveCount(3);
    const wokenAt = Date.now();
    await again.view.action("Wake").click();
    await again.view.expectState("Running");
    await expectNote(again.view, "slept well, no pain");
    const woken = await status(again.view);
    expect(woken.pid).toBe(atCapture.pid);
    expect(woken.uptimeSeconds).toBeGreaterThanOrEqual(atHibernation.uptimeSeconds - 5);
    expect(woken.uptimeSeconds).toBeLessThanOrEqual(
      atHibernation.uptimeSeconds + (Date.now() - wokenAt) / 1000 + 2,
    );
    await again.view.typeIntoTerminal(", breakfast");
    await expectNote(again.view, "slept well, no pain, breakfast");
    await again.panel.page.screenshot({ path: "test-results/look/walk-woken.png" });
  });

  await test.step("verify, look into, and delete an image", async () => {
    await again.view.image(/Before restore/).click();
    await again.view.imageAction("Verify").click();
    await expect(again.view.image(/Before restore/)).toContainText("Verified");
    await again.view.imageAction("Contents").click();
    await expect(again.view.dialog).toContainText("python3");
    await again.panel.page.screenshot({ path: "test-results/look/walk-contents.png" });
    await again.panel.page.keyboard.press("Escape");
    await again.view.imageAction("Delete").click();
    await again.view.answer("Delete image");
    await expect(again.view.imageRows).toHaveCount(2);
  });

  await test.step("what the machine can do, and what stands in the way", async () => {
    await again.panel.page.getByRole("button", { name: "Machine and stores" }).click();
    await expect(again.view.dialog).toContainText("What this kernel can do");
    await again.panel.page.screenshot({ path: "test-results/look/walk-machine.png" });
    await again.panel.page.keyboard.press("Escape");
    await again.view.action("More ways to capture").click();
    await again.panel.page.getByRole("menuitem", { name: "What stands in the way?" }).click();
    await expect(again.view.dialog).toContainText("it can be captured now");
    await again.panel.page.screenshot({ path: "test-results/look/walk-inspection.png" });
    await again.panel.page.keyboard.press("Escape");
  });

  await test.step("stop asks, and keeps nothing but the images", async () => {
    await again.view.action("Stop").click();
    await again.view.answer("Stop without image");
    await again.view.expectState("Stopped");
    await expect(again.view.imageRows).toHaveCount(2);
  });
  expect(again.panel.complaints).toEqual([]);
});
