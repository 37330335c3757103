/** What an application's file says of the world around its images: changed files, connections, haste. */
import { createServer, type Server } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;
let folder: string;

beforeEach(() => {
  // Not in the system's folder for temporary files: a capsule has one of its own.
  folder = mkdtempSync(join(tmpdir() === "/tmp" ? "/var/tmp" : tmpdir(), "torpor-changed-"));
});
afterEach(async () => {
  await agent.destroy();
  rmSync(folder, { recursive: true, force: true });
});

async function start(script: string, policy: string): Promise<void> {
  agent = await TestAgent.create({
    board: `name = "Board"\ncommand = ${JSON.stringify(["bash", "-c", script])}\ncwd = "/"\n${policy}`,
  }).up();
  await agent.done(agent.client.call("applications.start", { app: "board" }));
  await agent.logShows("board", /open/);
}

async function capture(): Promise<string> {
  const { result } = await agent.done(agent.client.call("capture.start", { app: "board" }));
  return result?.imageId ?? "";
}

const loop = "echo open; while :; do sleep 0.05; done";

describe("a file that is another by the time of the restore", () => {
  async function restoreAfterChange(policy: string) {
    const file = join(folder, "data");
    writeFileSync(file, "as it was");
    await start(`exec 3<${file}; ${loop}`, policy);
    const image = await capture();
    writeFileSync(file, "otherwise");
    return agent.ended(
      agent.client.call("restore.start", { app: "board", image, captureFirst: false }),
    );
  }

  it("is told in the restore's notes and in a notice", async () => {
    const ended = await restoreAfterChange("");
    expect(ended).toMatchObject({
      state: "succeeded",
      result: { notes: [`changed on disk since the image was taken: ${join(folder, "data")}`] },
    });
    const { notices } = await agent.client.call("notices.list", {});
    expect(notices.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^"Board" \(board\) came back from image .{8}, but: changed on disk .*data\.$/,
      ),
    ]);
  });

  it("is let be where the policy says so", async () => {
    const ended = await restoreAfterChange('[restore]\nchanged-files = "continue"\n');
    expect(ended).toMatchObject({ state: "succeeded", result: { notes: [] } });
  });

  it("refuses the restore where the policy says so, and what ran runs on", async () => {
    const ended = await restoreAfterChange('[restore]\nchanged-files = "refuse"\n');
    expect(ended).toMatchObject({
      state: "failed",
      error: { message: expect.stringContaining("changed on disk since the image") as string },
    });
    expect((await agent.application("board")).state).toBe("running");
  });
});

describe("connections to somebody outside", () => {
  let server: Server;

  beforeEach(async () => {
    server = createServer((socket) => socket.on("error", () => undefined));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => {
    server.close();
  });

  it("stand in the way of an image where the policy refuses them", async () => {
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    await start(
      `exec 3<>/dev/tcp/127.0.0.1/${port}; ${loop}`,
      '[capture]\nconnections = "refuse"\n',
    );
    const ended = await agent.ended(agent.client.call("capture.start", { app: "board" }));
    expect(ended).toMatchObject({ state: "failed", error: { code: "blocked" } });
  });
});

it("captures no faster than the policy says", async () => {
  await start(`held=$(head -c 4M /dev/zero | tr "\\0" x); ${loop}`, '[capture]\nrate = "4M"\n');
  const { result } = await agent.done(agent.client.call("capture.start", { app: "board" }));
  expect(result?.durationMs).toBeGreaterThan(900);
});
