// A display application in the panel: real window, agent, helper, X server and program. It is seen, typed
// into, captured, changed and put back; its picture is with its image; and a keyboard gets out again.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Locator } from "@playwright/test";
import { expect, test } from "./real-session.js";
import type { PanelPage } from "./panel-page.js";

const NAME = "Bed board";
/** What is typed is seen, nothing blinks, and letters of two colours are never sent with losses. */
const BOARD = `name = "${NAME}"
command = ["xterm", "-geometry", "160x56+0+0", "-e", "cat"]
display = "1024x768"
`;

/** All pixels of the program's screen, and how many colours they have. */
function screen(canvas: Locator): Promise<{ pixels: string; colours: number; width: number }> {
  return canvas.evaluate((element: HTMLCanvasElement) => {
    const { width, height } = element;
    const data = element.getContext("2d")?.getImageData(0, 0, width, height).data;
    const pixels = new Uint32Array(data?.buffer ?? new ArrayBuffer(0));
    let hash = 2166136261;
    for (const pixel of pixels) hash = Math.imul(hash ^ pixel, 16777619);
    return { pixels: `${width}x${height} ${hash}`, colours: new Set(pixels).size, width };
  });
}

async function pixels(view: PanelPage): Promise<string> {
  return (await screen(view.display.locator("canvas"))).pixels;
}

/** The screen once it is no longer this one, and stands still. */
async function screenUnlike(view: PanelPage, before: string): Promise<string> {
  await expect.poll(() => pixels(view)).not.toBe(before);
  let last = "";
  await expect
    .poll(
      async () => {
        const now = await pixels(view);
        const still = now === last;
        last = now;
        return still;
      },
      { intervals: [300] },
    )
    .toBe(true);
  return last;
}

test("a display is seen, typed into, captured, changed and put back", async ({ session }) => {
  writeFileSync(join(session.home, "apps.d", "bed-board.toml"), BOARD);
  const agent = await session.startAgent();
  const { panel, view } = await session.open();
  const { page } = panel;
  const canvas = view.display.locator("canvas");
  try {
    await view.choose(NAME);
    await expect(view.display).toContainText("is not running");
    await view.action("Start").click();
    await view.expectState("Running");
    await expect(view.display).toContainText("1024 × 768");
    await expect
      .poll(async () => (await screen(canvas)).colours, { timeout: 30_000 })
      .toBeGreaterThan(1);
    expect((await screen(canvas)).width).toBe(1024);
    const empty = await pixels(view);

    await canvas.click({ position: { x: 20, y: 20 } });
    await page.keyboard.type("slept well");
    const typed = await screenUnlike(view, empty);

    await test.step("it is captured, and its image has its picture", async () => {
      await view.action("Capture now").click();
      await expect(view.imageRows).toHaveCount(1, { timeout: 30_000 });
      await view.expectState("Running");
      await expect(view.details.getByRole("img", { name: /What it showed at/ })).toBeVisible();
      await expect(view.imageRows.locator(".timeline-thumbnail img")).toBeVisible();
    });

    await test.step("what is typed after it is gone after a restore, and the viewer is back", async () => {
      await canvas.click({ position: { x: 20, y: 20 } });
      await page.keyboard.type(", and woke at six");
      await screenUnlike(view, typed);
      await view.image(/Operator/).click();
      await view.imageAction("Restore this image").click();
      await view.answer("Capture and restore");
      await expect(view.operation).toContainText(/Restored .*: image [0-9a-f]{8}/, {
        timeout: 30_000,
      });
      await expect(view.display).toContainText("1024 × 768");
      await expect.poll(() => pixels(view), { timeout: 30_000 }).toBe(typed);
      await canvas.click({ position: { x: 20, y: 20 } });
      await page.keyboard.type("!");
      await screenUnlike(view, typed);
    });

    await test.step("pictures for a person to look at; nothing for axe to find", async () => {
      await panel.resize(1280, 720);
      for (const theme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme: theme });
        await expect(canvas).toBeVisible();
        await page.screenshot({ path: `test-results/look/display-${theme}.png` });
        await view.expectNoAccessibilityViolations(`a display, ${theme}`);
      }
      await panel.resize(1600, 1000);
    });

    await test.step("Ctrl+F6 gets out, of full screen as well; Tab does not", async () => {
      await canvas.focus();
      await page.keyboard.press("Tab");
      await expect(canvas).toBeFocused();
      await view.display.getByRole("button", { name: "Full screen" }).click();
      await expect(page.locator(".display-pane-whole")).toBeVisible();
      await canvas.focus();
      await page.screenshot({ path: "test-results/look/display-whole.png" });
      await page.keyboard.press("Escape");
      await expect(page.locator(".display-pane-whole")).toBeVisible();
      await page.keyboard.press("Control+F6");
      await expect(page.locator(".display-pane-whole")).toHaveCount(0);
    });

    await test.step("hibernated, it says so; woken, it is seen again", async () => {
      await view.action("Hibernate").click();
      await view.expectState("Hibernated", 60_000);
      await expect(view.display).toContainText("is hibernated");
      await view.action("Wake").click();
      await view.expectState("Running", 60_000);
      await expect(view.display).toContainText("1024 × 768");
      await expect.poll(async () => (await screen(canvas)).colours).toBeGreaterThan(1);
    });
    // This test reads the canvas; nothing else does.
    expect(panel.complaints.filter((text) => !text.includes("willReadFrequently"))).toEqual([]);
  } finally {
    const stop = (await agent.client.call("applications.stop", { app: "bed-board" })) as {
      operation: { id: string };
    };
    await agent.client.call("operations.wait", { operation: stop.operation.id });
  }
});
