/** An application with a display of its own through all that an operator does with it, seen by its pictures. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { FailureError } from "../../electron/contract/failure.js";
import { TestAgent } from "./support/test-agent.js";
import { TestViewer } from "./support/test-viewer.js";

/** What is typed is seen, and nothing blinks. */
const board = `name = "Bed board"
command = ["xterm", "-geometry", "80x30+0+0", "-e", "cat"]
display = "640x480"
`;
const clock = `name = "Clock"\ncommand = ["sleep", "600"]\n`;

let agent: TestAgent;

beforeEach(async () => {
  agent = await TestAgent.create({ board, clock }).up();
});
afterEach(async () => {
  await agent.destroy();
});

async function capture(): Promise<string> {
  const captured = await agent.done(agent.client.call("capture.start", { app: "board" }));
  expect(captured.result?.notes).toEqual([]);
  return captured.result?.imageId ?? "";
}

async function picture(image: string): Promise<string> {
  const { picture } = await agent.client.call("images.picture", { image });
  expect(picture).toMatchObject({ format: "png", width: 640, height: 480 });
  return picture?.data ?? "";
}

/** Images are taken until their picture is another one than this. */
async function imageUnlike(before: string): Promise<string> {
  return vi.waitUntil(
    async () => {
      const image = await capture();
      return (await picture(image)) === before ? undefined : image;
    },
    { timeout: 20_000, interval: 100 },
  );
}

it(
  "comes back with its screen, and is seen and typed into by viewers",
  { timeout: 90_000 },
  async () => {
    await agent.done(agent.client.call("applications.start", { app: "board" }));
    expect((await agent.application("board")).surface).toEqual({
      kind: "display",
      width: 640,
      height: 480,
    });
    const viewer = await TestViewer.open(agent.client, "board");
    expect(await viewer.greet()).toEqual([640, 480]);
    const empty = await picture(await capture());
    await viewer.type("asleep");
    const asleep = await imageUnlike(empty);
    // The text may be seen in two steps.
    await vi.waitUntil(
      async () => (await picture(await capture())) === (await picture(await capture())),
      { timeout: 20_000, interval: 100 },
    );
    const first = await capture();
    const before = await picture(first);
    await viewer.type(", then awake");
    const changed = await imageUnlike(before);
    expect(changed).not.toBe(asleep);
    expect(viewer.closed).toBe(false);

    await agent.done(
      agent.client.call("restore.start", { app: "board", image: first, captureFirst: false }),
    );
    await vi.waitFor(() => expect(viewer.closed).toBe(true));
    expect(await picture(await capture())).toBe(before);
    const again = await TestViewer.open(agent.client, "board");
    expect(await again.greet()).toEqual([640, 480]);
    await again.type("!");
    await imageUnlike(before);

    await agent.done(agent.client.call("capture.start", { app: "board", hibernate: true }));
    await vi.waitFor(() => expect(again.closed).toBe(true));
    await expect(TestViewer.open(agent.client, "board")).rejects.toMatchObject({
      failure: { code: "not-running" },
    });
    await agent.down("SIGTERM");
    await agent.up();
    await agent.done(agent.client.call("wake.start", { app: "board" }));
    const woken = await TestViewer.open(agent.client, "board");
    expect(await woken.greet()).toEqual([640, 480]);
    await agent.client.call("display.close", { display: woken.id });
    await vi.waitFor(() => expect(woken.closed).toBe(true));
    await expect(
      agent.client.call("display.input", { display: woken.id, data: "" }),
    ).rejects.toMatchObject({ failure: { code: "no-such-display" } });
    expect((await agent.application("board")).state).toBe("running");
  },
);

it("writes pictures for their owner's eyes, and says where there is none", async () => {
  await agent.done(agent.client.call("applications.start", { app: "board" }));
  const image = await capture();
  const file = join(agent.home, "board.png");
  const shown = agent.cli("image", "show", image.slice(0, 8), "--picture", file);
  expect(shown.error + shown.out).toMatch(/PNG, 640x480/);
  expect(shown.status).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file).subarray(1, 4).toString("latin1")).toBe("PNG");
  expect(agent.cli("image", "show", image).out).toMatch(/Picture +PNG/);
  // The agent keeps no copy.
  expect(readdirSync(join(agent.home, "run/pictures"))).toEqual([]);

  await agent.done(agent.client.call("applications.start", { app: "clock" }));
  const captured = await agent.done(agent.client.call("capture.start", { app: "clock" }));
  const none = agent.cli("image", "show", captured.result?.imageId ?? "", "--picture", `${file}.2`);
  expect(none.status).toBe(6);
  expect(none.error).toMatch(/has no picture/);
  expect(existsSync(`${file}.2`)).toBe(false);
  const refusal = await TestViewer.open(agent.client, "clock").catch(
    (error: unknown) => (error as FailureError).failure,
  );
  expect(refusal).toMatchObject({ code: "no-display" });
  expect(agent.cli("doctor").out).toMatch(/display/);
});
