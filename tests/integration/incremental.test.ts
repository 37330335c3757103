/** Images that build on one another: taken, restored, lost and found, moved, made whole, and never torn apart. */
import { existsSync, readdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, it, vi } from "vitest";

import type { ImageRecord } from "../../electron/contract/index.js";
import { memoryHolder } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

const MIB = 1024 ** 2;
const incremental = `[capture]\nincremental = true\nlongest-chain = 3\n`;
/** A prompt of Python, so that there is memory worth not writing twice. */
const prompt = `
command = ["python3", "-q", "-i", "-c", "import os, sys; sys.ps1 = 'ready> '; held = os.urandom(24 << 20)"]
terminal = true
stop-grace = "2s"
`;

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

function short({ id }: ImageRecord): string {
  return id.slice(0, 8);
}

/** Images with a word each that the application knew when they were taken, the oldest first. */
async function taken(words: readonly string[], options = ""): Promise<ImageRecord[]> {
  agent = await TestAgent.create({ prompt: prompt + incremental + options }).up();
  await agent.done(agent.client.call("applications.start", { app: "prompt" }));
  const terminal = await TestTerminal.open(agent.client, "prompt");
  await terminal.shows(/ready>/);
  for (const word of words) {
    await terminal.ask(`word = '${word}'; print('now-' + word)`, new RegExp(`now-${word}\\b`));
    await agent.done(agent.client.call("capture.start", { app: "prompt", label: word }));
  }
  await terminal.close();
  return (await agent.images("prompt")).reverse();
}

async function restoresTo(image: ImageRecord, word: string): Promise<void> {
  await agent.done(
    agent.client.call("restore.start", { app: "prompt", image: image.id, captureFirst: false }),
  );
  const terminal = await TestTerminal.open(agent.client, "prompt");
  await terminal.ask("print('is-' + word + '-', len(held))", new RegExp(`is-${word}- ${24 * MIB}`));
  await terminal.close();
}

function refused(args: readonly string[], status: number, message: RegExp): void {
  const { error, status: given } = agent.cli(...args);
  expect(error).toMatch(message);
  expect(given).toBe(status);
}

it("holds what has changed, as long a chain as the file says, and each of it can be restored", async () => {
  const images = await taken(["one", "two", "three", "four"]);
  const [one, two, three, four] = images;
  if (one === undefined || two === undefined || three === undefined || four === undefined) {
    throw new Error("four images were taken");
  }
  expect(images.map(({ parentId }) => parentId)).toEqual([null, one.id, two.id, null]);
  for (const each of [one, four]) {
    expect(each.fileBytes).toBeGreaterThan(24 * MIB);
  }
  for (const each of [two, three]) {
    expect(each.fileBytes).toBeLessThan(8 * MIB);
    expect(each.sizes.physicalBytes).toBeGreaterThan(24 * MIB);
  }
  expect(agent.cli("images", "prompt").out).toMatch(/AFTER +BUILDS ON +STATE/);
  const shown = agent.cli("image", "show", short(three)).out;
  expect(shown).toMatch(new RegExp(`Builds on +${short(two)}, which builds on ${short(one)}\n`));
  expect(agent.cli("image", "show", short(one)).out).toMatch(
    new RegExp(`Needed by +${short(two)}\n`),
  );
  await restoresTo(three, "three");
  await restoresTo(one, "one");
  // It goes on from where it was put, and so does the chain.
  await agent.done(agent.client.call("capture.start", { app: "prompt" }));
  expect((await agent.images("prompt"))[0]).toMatchObject({
    parentId: one.id,
    lineageParentId: one.id,
  });

  // A base goes neither by hand nor by a rule, and both say why.
  refused(
    ["image", "delete", "--yes", short(two)],
    6,
    new RegExp(`Image ${short(two)} can't be deleted: ${short(three)} builds on it\\.`),
  );
  agent.writeApplication("prompt", `${prompt}${incremental}[keep]\ncount = 1\n`);
  await vi.waitFor(() => {
    const pruned = agent.cli("prune", "prompt", "--dry-run").out;
    expect(pruned).toMatch(
      new RegExp(`Kept: ${short(one)} of prompt.*, but image [0-9a-f]{8} builds on it\\.\n`),
    );
    expect(pruned).toMatch(new RegExp(`^${short(two)} +prompt`, "m"));
    expect(pruned).not.toMatch(new RegExp(`^${short(one)} `, "m"));
  }, 10_000);
  agent.cli("prune", "prompt");
  expect((await agent.images("prompt")).map(({ id }) => id)).toContain(one.id);
  expect(await agent.images("prompt")).toHaveLength(2);
});

it("is incomplete without what it builds on, is not chosen, and is well again when that is back", async () => {
  const [one, two] = await taken(["one", "two"], "[recovery]\n");
  if (one === undefined || two === undefined) {
    throw new Error("two images were taken");
  }
  const away = join(agent.home, "away");
  renameSync(one.path, away);
  await agent.client.call("images.rescan", {});
  const fault = `builds on image ${short(one)}, whose file ${one.path} is not there`;
  expect(
    (await agent.images("prompt")).map(({ state, stateReason }) => [state, stateReason]),
  ).toEqual([
    ["incomplete", fault],
    ["missing", `${one.path} is not there`],
  ]);
  expect(agent.cli("images", "prompt").out).toMatch(new RegExp(`${short(two)}.* incomplete`));
  expect(agent.cli("recover", "--explain", "prompt", "--on", "crash").out).toContain(
    `"two": it ${fault}`,
  );
  const restored = await agent.ended(
    agent.client.call("restore.start", { app: "prompt", image: two.id, captureFirst: false }),
  );
  expect(restored.error).toMatchObject({ code: "parent-missing" });
  expect((await agent.application("prompt")).state).toBe("running");
  refused(["image", "verify", short(two)], 4, /builds? on/);
  // What is taken meanwhile needs neither of them.
  await agent.done(agent.client.call("capture.start", { app: "prompt", label: "alone" }));
  expect((await agent.images("prompt"))[0]).toMatchObject({ parentId: null, label: "alone" });

  renameSync(away, one.path);
  await agent.client.call("images.rescan", {});
  await vi.waitFor(async () => {
    expect((await agent.images("prompt")).map(({ state }) => state)).toEqual(["ok", "ok", "ok"]);
  });
  await restoresTo(two, "two");
});

it("is made whole in its place, keeps its id, and lets go of what it built on", async () => {
  const [one, two, three] = await taken(["one", "two", "three"]);
  if (one === undefined || two === undefined || three === undefined) {
    throw new Error("three images were taken");
  }
  refused(
    ["image", "flatten", short(two)],
    6,
    new RegExp(`can't be flattened: ${short(three)} builds on it`),
  );
  refused(["image", "flatten", short(one)], 2, /builds on no other image/);
  const { status, out } = agent.cli("image", "flatten", short(three));
  expect([status, out]).toEqual([
    0,
    expect.stringMatching(new RegExp(`^Image ${short(three)} builds on no other now`)) as string,
  ]);
  const [whole] = await agent.images("prompt");
  expect(whole).toMatchObject({
    id: three.id,
    path: three.path,
    label: "three",
    lineageParentId: two.id,
    parentId: null,
    state: "ok",
  });
  expect(whole?.fileBytes).toBeGreaterThan(24 * MIB);
  for (const each of [two, one]) {
    expect(agent.cli("image", "delete", "--yes", short(each)).status).toBe(0);
  }
  expect(readdirSync(agent.store)).toEqual([basename(three.path)]);
  await agent.done(agent.client.call("images.verify", { image: three.id }));
  await restoresTo(three, "three");
  const { operations } = await agent.client.call("operations.list", { app: "prompt" });
  expect(operations.filter(({ kind }) => kind === "flatten")).toMatchObject([
    { state: "succeeded" },
  ]);
});

it("moves with all that belong to it, to another volume too", async () => {
  const images = await taken(["one", "two", "three"]);
  const [, two, three] = images;
  if (two === undefined || three === undefined) {
    throw new Error("three images were taken");
  }
  const volume = agent.mountVolume("usb", "size=200m");
  const { status, out } = agent.cli("image", "move", short(two), volume);
  expect(status).toBe(0);
  expect(out).toMatch(/Moved with it, as they build on one another: /);
  expect(readdirSync(agent.store)).toEqual([]);
  const now = await agent.images("prompt");
  expect(now.map(({ path, state }) => [path, state])).toEqual(
    images.map(({ path }) => [join(volume, basename(path)), "ok"]).reverse(),
  );
  await restoresTo(three, "three");
});

it.each([20, 150])(
  "killed %i ms into making an image whole, the agent leaves it whole or as it was",
  async (afterMs) => {
    agent = await TestAgent.create({ memory: memoryHolder(120) + incremental }).up();
    await agent.done(agent.client.call("applications.start", { app: "memory" }));
    await agent.logShows("memory", /held/);
    for (let each = 0; each < 2; each++) {
      await agent.done(agent.client.call("capture.start", { app: "memory" }));
    }
    const [image, base] = await agent.images("memory");
    await agent.client.call("images.flatten", { image: image?.id ?? "" });
    await delay(afterMs);

    await agent.down("SIGKILL");
    await agent.up();

    await agent.client.call("images.rescan", {});
    const now = await agent.images("memory");
    expect(now.map(({ id, state }) => [id, state])).toEqual([
      [image?.id, "ok"],
      [base?.id, "ok"],
    ]);
    expect(existsSync(image?.path ?? "")).toBe(true);
    await vi.waitFor(() => {
      expect(readdirSync(agent.store)).toHaveLength(2);
    });
    const shown = await agent.client.call("images.show", { image: image?.id ?? "" });
    expect(shown.description.parentId ?? null).toBe(now[0]?.parentId);
    expect(now[0]?.fileBytes).toBe(shown.description.fileBytes);
    await agent.done(agent.client.call("images.verify", { image: image?.id ?? "" }));
  },
);
