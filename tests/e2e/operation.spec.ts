// What the panel asks the agent for, and how it takes the answers: progress, cancel, failures, notices, a
// connection that goes and comes back, and all of it by keyboard.
import { expect, test } from "./fake-session.js";

test("a restore captures first, shows its progress and can be cancelled", async ({ session }) => {
  await session.startAgent();
  const { panel, view } = await session.open();
  await view.image(/after login/).click();
  await view.imageAction("Restore this image").click();
  await view.answer("Capture and restore");
  await expect
    .poll(() => session.agent.orders)
    .toEqual([
      {
        method: "restore.start",
        params: {
          app: "ward-board",
          image: session.agent.ward.images[27]?.id,
          captureFirst: true,
        },
      },
    ]);

  const operation = session.agent.ward.operations.at(-1);
  if (operation === undefined) throw new Error("the fake agent began no operation");
  const megabyte = 1024 * 1024;
  session.agent.emit("operation.changed", {
    operation: { ...operation, phase: "load", doneBytes: 5 * megabyte, totalBytes: 20 * megabyte },
  });
  await expect(view.operation).toContainText("Restoring Ward board");
  await expect(view.operation).toContainText("loading memory");
  await expect(view.operation).toContainText("5.00 MiB of 20.0 MiB");
  await expect(
    view.operation.getByRole("progressbar", { name: "Restoring Ward board" }),
  ).toHaveAttribute("aria-valuenow", String(5 * megabyte));
  await view.operation.getByRole("button", { name: "Cancel" }).click();
  await expect(view.operation).toContainText("cancelling");
  session.agent.emit("operation.changed", {
    operation: { ...operation, state: "cancelled", endedAt: new Date().toISOString() },
  });
  await expect(view.operation).toContainText(
    "Restoring Ward board was cancelled; it is as it was before",
  );
  expect(panel.complaints).toEqual([]);
});

test("a failure says what happened, what is unchanged and what to do, until it is dismissed", async ({
  session,
}) => {
  await session.startAgent();
  const { view } = await session.open();
  await view.action("Capture now").click();
  await expect.poll(() => session.agent.orders.length).toBe(1);
  const operation = session.agent.ward.operations.at(-1);
  if (operation === undefined) throw new Error("the fake agent began no operation");
  session.agent.emit("operation.changed", {
    operation: {
      ...operation,
      state: "failed",
      endedAt: new Date().toISOString(),
      error: {
        code: "no-room",
        message: "Ward board could not be captured. It runs on. Make room.",
        detail: {
          happened: "Ward board could not be captured: no store has room for 21.4 MiB.",
          unchanged: "It runs on as before, and no file was left.",
          remedy: "Delete images that are not needed, or add a store.",
        },
      },
    },
  });
  await expect(view.toasts).toContainText("Capturing Ward board failed");
  await expect(view.toasts).toContainText("no store has room for 21.4 MiB");
  await expect(view.toasts).toContainText("It runs on as before, and no file was left.");
  await expect(view.toasts).toContainText("Delete images that are not needed");
  await view.toasts.getByRole("button", { name: "Keep for later" }).click();
  await expect(view.toasts).not.toContainText("Capturing Ward board failed");
  await view.page.getByRole("button", { name: "3 notices" }).click();
  await expect(view.dialog).toContainText("Capturing Ward board failed");
  await view.dialog.getByRole("button", { name: "Dismiss: Capturing Ward board failed" }).click();
  await expect(view.dialog).not.toContainText("Capturing Ward board failed");
});

test("the agent goes and comes back: what is seen stays, and is brought up to date", async ({
  session,
  ward,
}) => {
  await session.startAgent();
  const { view, panel } = await session.open();
  await expect(view.application("Medication cart")).toContainText("Hibernated");
  await session.agent.stop();
  await expect(panel.page.getByRole("alert")).toContainText("The agent can’t be reached");
  await expect(view.action("Capture now")).toBeDisabled();
  await expect(view.application("Medication cart")).toContainText("Hibernated");

  const cart = ward.applications[1];
  if (cart !== undefined) ward.applications[1] = { ...cart, state: "stopped" };
  await session.startAgent();
  await expect(view.application("Medication cart")).toContainText("Stopped");
  await expect(panel.page.getByRole("alert")).toHaveCount(0);
  await expect(view.action("Capture now")).toBeEnabled();
});

test("new images, labels, sizes and applications appear by themselves", async ({ session }) => {
  await session.startAgent();
  const { view } = await session.open();
  const newest = session.agent.ward.images[29];
  if (newest === undefined) throw new Error("no invented image");
  await expect(view.image(/two admissions entered/)).toBeVisible();
  session.agent.emit("image.added", {
    image: {
      ...newest,
      id: "f".repeat(32),
      label: "just now taken",
      createdAt: new Date().toISOString(),
      lineageParentId: newest.id,
    },
  });
  await expect(view.image(/just now taken/)).toBeVisible();
  session.agent.emit("image.removed", { imageId: "f".repeat(32), applicationId: "ward-board" });
  await expect(view.image(/just now taken/)).toHaveCount(0);
  session.agent.emit("application.measured", {
    applicationId: "ward-board",
    measurement: {
      sizes: { systemStateBytes: 65_536, physicalBytes: 41_943_040, virtualBytes: 0 },
      processes: 4,
      measuredAt: new Date().toISOString(),
    },
  });
  await expect(view.application("Ward board")).toContainText("40.0 MiB");
  session.agent.emit("application.removed", { applicationId: "triage-kiosk" });
  await expect(view.application("Triage kiosk")).toHaveCount(0);
});

test("everything by keyboard", async ({ session }) => {
  await session.startAgent();
  const { view, panel } = await session.open();
  const { keyboard } = panel.page;
  await expect(view.terminal).toContainText("WARD 3");

  await test.step("F6 goes from pane to pane; Ctrl+F6 leaves the terminal", async () => {
    await keyboard.press("F6");
    await expect(view.application("Ward board")).toBeFocused();
    await keyboard.press("F6");
    await expect(view.action("Capture now")).toBeFocused();
    await keyboard.press("F6");
    await expect(view.image(/two admissions entered/)).toBeFocused();
    await keyboard.press("F6");
    await keyboard.press("F6");
    await expect(view.terminal.getByRole("textbox", { name: "Terminal input" })).toBeFocused();
    await keyboard.press("F6");
    await expect(view.terminal.getByRole("textbox", { name: "Terminal input" })).toBeFocused();
  });

  await test.step("an image is chosen, restored and left as it is", async () => {
    await view.application("Ward board").focus();
    await keyboard.press("F6");
    await keyboard.press("F6");
    await keyboard.press("ArrowDown");
    await expect(view.occurrence(/Crash/)).toBeFocused();
    await expect(view.details).toContainText("two admissions entered");
    await keyboard.press("ArrowDown");
    await keyboard.press("ArrowDown");
    await expect(view.details).toContainText("after login");
    await keyboard.press("Enter");
    await expect(view.dialog).toContainText("Restore Ward board?");
    await expect(view.dialog.getByRole("button", { name: "Leave as it is" })).toBeFocused();
    await keyboard.press("Escape");
    await expect(view.dialog).toHaveCount(0);
    await expect(view.image(/after login/)).toBeFocused();
    await keyboard.press("Delete");
    await expect(view.dialog).toContainText("Delete this boot image?");
    await keyboard.press("Enter");
    await expect(view.dialog).toHaveCount(0);
  });

  await test.step("panes are resized", async () => {
    const divider = panel.page.getByRole("separator", { name: "Timeline and terminal" });
    const before = Number(await divider.getAttribute("aria-valuenow"));
    await divider.focus();
    await keyboard.press("ArrowUp");
    await keyboard.press("ArrowUp");
    await expect(divider).toHaveAttribute("aria-valuenow", String(before - 4));
  });
  expect(session.agent.orders).toEqual([]);
});

test("theme and layout are remembered", async ({ session }) => {
  await session.startAgent();
  const first = await session.open();
  const root = first.panel.page.locator("html");
  await first.panel.page.getByRole("button", { name: "Theme: as the desktop" }).click();
  await expect(root).toHaveAttribute("data-theme", "light");
  await first.panel.page.getByRole("button", { name: "Theme: light" }).click();
  await expect(root).toHaveAttribute("data-theme", "dark");
  await first.view.terminal.getByRole("button", { name: "Larger terminal" }).click();
  await expect(first.view.timeline).toHaveCount(0);
  await first.panel.close();

  const second = await session.open();
  await expect(second.panel.page.locator("html")).toHaveAttribute("data-theme", "dark");
  await expect(
    second.view.terminal.getByRole("button", { name: "Back to normal size" }),
  ).toBeVisible();
});
