// What happened and why, remarks, and the policy: by the keyboard, on invented data.
import { expect, test } from "./fake-session.js";

test("what happened stands on the timeline, with why this image was chosen", async ({
  session,
  ward,
}) => {
  await session.startAgent();
  const { panel, view } = await session.open({ size: [1280, 720] });
  const { keyboard } = panel.page;
  const crash = view.occurrence(/Crash/);
  await expect(crash).toContainText("ended by SIGSEGV");
  await expect(crash).toContainText(`Restored image ${ward.images[27]?.id.slice(0, 8) ?? ""}`);
  await expect(crash).toContainText("the newest that the rule newest-healthy finds");
  await expect(crash).toContainText("1 passed over");

  await test.step("Enter opens all of it", async () => {
    await view.image(/two admissions entered/).click();
    await keyboard.press("ArrowDown");
    await expect(crash).toBeFocused();
    await keyboard.press("Enter");
    await expect(view.dialog).toContainText("What happened to Ward board");
    await expect(view.dialog).toContainText("it is not known to be healthy");
    await keyboard.press("Escape");
    await expect(view.dialog).toHaveCount(0);
    await expect(crash).toBeFocused();
  });

  await test.step("what happens now comes by itself, and goes on in its place", async () => {
    await keyboard.press("Home");
    await expect(view.image(/two admissions entered/)).toBeFocused();
    const [before] = ward.occurrences;
    if (before === undefined) throw new Error("the ward has occurrences");
    const occurrence = {
      ...before,
      id: 9,
      kind: "hang" as const,
      at: new Date().toISOString(),
      happened: "no heartbeat came for 10 s",
      state: "acting" as const,
      outcome: null,
    };
    session.agent.emit("occurrence.added", { occurrence });
    await expect(view.occurrence(/No heartbeat/)).toContainText("Restoring image");
    session.agent.emit("occurrence.changed", { occurrence: { ...occurrence, state: "done" } });
    await expect(view.occurrence(/No heartbeat/)).toContainText("Restored image");
    await expect(view.occurrence(/No heartbeat/)).toHaveCount(1);
  });

  await test.step("also of an application that has no image", async () => {
    await view.choose("Bed planner");
    await expect(view.occurrence(/Crash/)).toContainText(
      "Given up: no rule is left after 5 failed attempts.",
    );
  });
  expect(panel.complaints).toEqual([]);
});

test("a remark is written, changed and taken away", async ({ session, ward }) => {
  await session.startAgent();
  const { panel, view } = await session.open({ size: [1280, 720] });
  const { keyboard } = panel.page;
  const image = ward.images[29]?.id;
  await view.details.getByRole("button", { name: "Write a remark" }).press("Enter");
  await expect(view.dialog.getByRole("textbox", { name: "Remark" })).toBeFocused();
  await keyboard.type("Kept for the audit");
  await view.dialog.getByRole("button", { name: "Save remark" }).press("Enter");
  await expect(view.details).toContainText("Kept for the audit");
  await view.details.getByRole("button", { name: "Change the remark" }).press("Enter");
  await view.dialog.getByRole("textbox", { name: "Remark" }).fill("");
  await view.answer("Save remark");
  await expect(view.details).not.toContainText("Kept for the audit");
  expect(session.agent.orders).toEqual([
    { method: "images.remark", params: { image, remark: "Kept for the audit" } },
    { method: "images.remark", params: { image, remark: null } },
  ]);
  expect(panel.complaints).toEqual([]);
});

test("the policy is read, checked, refused and saved, comments and all", async ({
  session,
  ward,
}) => {
  await session.startAgent();
  const { panel, view } = await session.open({ size: [1280, 720] });
  await view.timeline.getByRole("button", { name: "Policy" }).press("Enter");
  const text = view.dialog.getByRole("textbox");
  await expect(text).toHaveValue(ward.policy);
  const save = view.dialog.getByRole("button", { name: "Save" });
  await expect(save).toBeDisabled();

  const written = ward.policy;
  await text.fill(written.replace('"newest"', '"oldest"'));
  await view.dialog.getByRole("button", { name: "Check" }).press("Enter");
  await expect(view.dialog.getByRole("status")).toContainText(
    'Line 6: recovery.on-crash.0 has "oldest", which is no rule',
  );
  await view.expectNoAccessibilityViolations("a policy with an error");

  await text.fill(written.replace(', "newest"', ""));
  await view.dialog.getByRole("button", { name: "Check" }).press("Enter");
  await expect(view.dialog.getByRole("status")).toContainText("At the next crash: Restore image");
  await view.expectNoAccessibilityViolations("a policy that is right");
  session.agent.refuse("policy.save", "in-use", { happened: "The file was changed meanwhile." });
  await save.press("Enter");
  await expect(view.dialog.getByRole("status")).toContainText("The file was changed meanwhile.");
  await expect(text).toHaveValue(written.replace(', "newest"', ""));
  expect(ward.policy).toBe(written);
  session.agent.accept("policy.save");
  await save.press("Enter");
  await expect(view.dialog).toHaveCount(0);
  expect(ward.policy).toBe(written.replace(', "newest"', ""));
  expect(panel.complaints).toEqual([]);
});
