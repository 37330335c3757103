/** Stores that are full, read-only, gone or no folder: the application runs on and no file is left. */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";

import { memoryHolder, shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

async function startMemory(
  mebibytes: number,
  settings: string,
  prepare: (agent: TestAgent) => void,
): Promise<void> {
  agent = TestAgent.create({ memory: memoryHolder(mebibytes), shell }, settings);
  prepare(agent);
  await agent.up();
  await agent.done(agent.client.call("applications.start", { app: "memory" }));
  await agent.logShows("memory", /held/);
}

async function expectRefused(code: string, message: RegExp): Promise<void> {
  for (const hibernate of [false, true]) {
    const ended = await agent.ended(
      agent.client.call("capture.start", { app: "memory", hibernate }),
    );
    expect(ended).toMatchObject({
      state: "failed",
      error: { code, message: expect.stringMatching(message) as string },
    });
    expect(ended.error?.detail?.unchanged).toMatch(/^It runs on as before/);
  }
  expect(await agent.application("memory")).toMatchObject({ state: "running", imageCount: 0 });
}

it("says that a store is too small before anything is stopped", async () => {
  let volume = "";
  await startMemory(60, 'stores = ["HOME/small"]\n', (each) => {
    volume = each.mountVolume("small", "size=40m");
  });
  await expectRefused("no-room", /about .* MiB are needed, and .*small has .* MiB free/);
  expect(readdirSync(volume)).toEqual([]);
});

it("takes the next store when the first has no room", async () => {
  await startMemory(60, 'stores = ["HOME/small", "HOME/large"]\n', (each) => {
    each.mountVolume("small", "size=30m");
    each.mountVolume("large", "size=300m");
  });
  const { result } = await agent.done(agent.client.call("capture.start", { app: "memory" }));
  expect(result?.path).toMatch(/\/large\//);
});

it("survives a store that fills up in the middle of a capture", async () => {
  let volume = "";
  await startMemory(60, 'stores = ["HOME/filling"]\n', (each) => {
    volume = each.mountVolume("filling", "size=100m");
  });
  const before = await agent.application("memory");
  const filler = join(volume, "filler");
  const capturing = agent.ended(agent.client.call("capture.start", { app: "memory" }));
  // Another writer takes all the room that it can get, while the image wants it too.
  try {
    writeFileSync(filler, Buffer.alloc(99 << 20, 1));
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
  const ended = await capturing;
  rmSync(filler, { force: true });
  expect(await agent.application("memory")).toMatchObject({
    state: "running",
    life: { initPid: before.life?.initPid },
  });
  if (ended.state === "failed") {
    expect(ended.error?.code).toBe("no-room");
    expect(readdirSync(volume)).toEqual([]);
    await agent.done(agent.client.call("capture.start", { app: "memory" }));
  } else {
    // The image had its room first: it is allocated before the first byte is written.
    await agent.done(agent.client.call("images.verify", { image: ended.result?.imageId ?? "" }));
  }
});

it("says that a store is read-only", async () => {
  await startMemory(5, 'stores = ["HOME/ro"]\n', (each) => {
    each.remountVolume(each.mountVolume("ro", "size=300m"), "ro");
  });
  await expectRefused("store-unusable", /is on a read-only file system: mount it writable/);
});

it("says that a store is gone, and uses it when it is back", async () => {
  await startMemory(5, 'stores = ["HOME/store"]\n', (each) => {
    mkdirSync(join(each.home, "store"));
  });
  renameSync(join(agent.home, "store"), join(agent.home, "away"));
  await expectRefused("store-unusable", /is gone: create the folder, or mount its volume/);
  renameSync(join(agent.home, "away"), join(agent.home, "store"));
  await agent.done(agent.client.call("capture.start", { app: "memory" }));
});

it("says that a store is a file", async () => {
  await startMemory(5, 'stores = ["HOME/store"]\n', (each) => {
    writeFileSync(join(each.home, "store"), "");
  });
  await expectRefused("store-unusable", /is a file, not a folder/);
});

it("moves images to another volume and restores them from there", async () => {
  await startMemory(5, 'stores = ["HOME/store"]\n', (each) => {
    mkdirSync(join(each.home, "store"));
  });
  const volume = agent.mountVolume("usb", "size=200m");
  const { result } = await agent.done(agent.client.call("capture.start", { app: "memory" }));
  const image = result?.imageId ?? "";
  const moved = await agent.done(agent.client.call("images.move", { image, folder: volume }));
  expect(moved.result?.path).toMatch(/\/usb\//);
  expect(readdirSync(join(agent.home, "store"))).toEqual([]);
  await agent.done(agent.client.call("images.verify", { image }));
  await agent.done(
    agent.client.call("restore.start", { app: "memory", image, captureFirst: false }),
  );
});
