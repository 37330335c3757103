/**
 * The clients on real captures: a server of each kind asks for an image every so many requests, is killed,
 * comes back at the last image and answers the next request.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";

import { clients, compile, killed, request } from "./support/example-server.js";
import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

/** Starts a server that listens on the socket whose path it gets. */
async function serving(
  command: (socket: string) => readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  agent = TestAgent.create({});
  const work = join(agent.home, "work");
  mkdirSync(work);
  const socket = join(work, "server.sock");
  const env = Object.entries(environment).map(
    ([name, value]) => `${name} = "${value.replace("HOME", agent.home)}"\n`,
  );
  agent.writeApplication(
    "server",
    `command = ${JSON.stringify(command(socket))}\ncwd = "${work}"\nstop-grace = "1s"\n[env]\n${env.join("")}`,
  );
  await agent.up();
  await agent.done(agent.client.call("applications.start", { app: "server" }));
  return socket;
}

async function newestOwnImage(count: number): Promise<string> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const [image] = await agent.images("server");
    const operations = await agent.client.call("operations.list", { app: "server" });
    const saved = operations.operations.filter(
      ({ kind, state }) => kind === "capture" && state === "succeeded",
    );
    if (image !== undefined && saved.length === count) {
      expect(image).toMatchObject({ trigger: "application" });
      return image.id;
    }
    if (Date.now() > deadline) {
      throw new Error(`no image number ${count}: ${agent.log.slice(-2000)}`);
    }
    await delay(20);
  }
}

/**
 * The loop of every example. `blocking`: the server answers nobody between its request and the image;
 * others may have served a few more by the time of the capture.
 */
async function losesNothingBeforeItsLastImage(socket: string, blocking: boolean): Promise<void> {
  const perImage = 1000;
  const asked = 2 * perImage + 7;
  for (let i = 1; i <= asked; i++) {
    expect(await request(socket)).toEqual({ requests: i, restored: 0 });
  }
  const image = await newestOwnImage(2);
  const answers = [];
  for (let round = 0; round < 2; round++) {
    await killed(agent, "server");
    const restored = await agent.done(
      agent.client.call("restore.start", { app: "server", captureFirst: false }),
    );
    expect(restored.imageId).toBe(image);
    answers.push(await request(socket));
  }
  const [first, second] = answers;
  expect(first).toEqual(second);
  expect(first?.restored).toBe(1);
  expect(first?.requests).toBeGreaterThan(2 * perImage);
  expect(first?.requests).toBeLessThanOrEqual(blocking ? 2 * perImage + 1 : asked + 1);
  // And from there it goes on asking, the earlier image being replaced.
  for (let i = (second?.requests ?? 0) + 1; i <= 3 * perImage; i++) {
    expect(await request(socket)).toEqual({ requests: i, restored: 1 });
  }
  await newestOwnImage(3);
  expect(await agent.images("server")).toHaveLength(1);
  await killed(agent, "server");
  await agent.done(agent.client.call("restore.start", { app: "server", captureFirst: false }));
  expect(await request(socket)).toEqual({ requests: 3 * perImage + 1, restored: 2 });
}

describe("an example server comes back at its last image and answers the next request", () => {
  it("in C", async () => {
    const socket = await serving((path) => [compile(agent, "example.c"), path]);
    await losesNothingBeforeItsLastImage(socket, true);
  });

  it("in Python", async () => {
    const socket = await serving((path) => [
      "python3",
      "-u",
      join(clients, "python/example/server.py"),
      path,
    ]);
    await losesNothingBeforeItsLastImage(socket, true);
  });

  it("in Python with asyncio", async () => {
    const socket = await serving((path) => [
      "python3",
      "-u",
      join(clients, "python/example/server_asyncio.py"),
      path,
    ]);
    await losesNothingBeforeItsLastImage(socket, false);
  });

  it("in Node", async () => {
    const socket = await serving((path) => [
      "node",
      join(clients, "node/example/server.mjs"),
      path,
    ]);
    await losesNothingBeforeItsLastImage(socket, false);
  });

  it("in a shell", async () => {
    const perImage = 5;
    const socket = await serving(
      () => {
        compile(agent, "torpor-request.c");
        return [
          "bash",
          join(clients, "c/shell-example.sh"),
          join(agent.home, "work"),
          String(perImage),
        ];
      },
      { PATH: "HOME/bin:/usr/bin:/bin" },
    );
    const folder = join(socket, "..");
    const ask = async (): Promise<string> => {
      rmSync(join(folder, "answer"), { force: true });
      writeFileSync(join(folder, "request"), "");
      const deadline = Date.now() + 30_000;
      while (!existsSync(join(folder, "answer"))) {
        if (Date.now() > deadline) {
          throw new Error("the shell did not answer");
        }
        await delay(10);
      }
      return readFileSync(join(folder, "answer"), "utf8").trim();
    };
    for (let i = 1; i <= 2 * perImage + 2; i++) {
      expect(await ask()).toBe(`${i} 0`);
    }
    await newestOwnImage(2);
    await killed(agent, "server");
    await agent.done(agent.client.call("restore.start", { app: "server", captureFirst: false }));
    expect(await ask()).toBe(`${2 * perImage + 1} 1`);
  });
});

describe("torpor-request", () => {
  it("does nothing outside of a capsule, and says so", () => {
    agent = TestAgent.create({});
    const program = compile(agent, "torpor-request.c");
    for (const socket of [undefined, "", "/nonexistent/control.sock", agent.home]) {
      for (const [words, status, out] of [
        [["checkpoint", "--label", "x"], 0, "unavailable\n"],
        [["--status", "checkpoint"], 12, "unavailable\n"],
        [["status"], 0, "unavailable\n"],
        [["inhibit", "x"], 0, "unavailable\n"],
        [["checkpoint", "--nonsense"], 2, ""],
        [[], 2, ""],
      ] as const) {
        const result = spawnSync(program, words, {
          env: socket === undefined ? {} : { TORPOR_SOCKET: socket },
          encoding: "utf8",
        });
        expect([words, result.status, result.stdout]).toEqual([words, status, out]);
      }
    }
  });

  it("asks for all that there is, from inside", async () => {
    const socket = await serving(() => ["sleep", "100000"]);
    const program = compile(agent, "torpor-request.c");
    const { life } = await agent.application("server");
    const request = (...words: string[]): [number | null, string] => {
      const control = join(agent.home, "run/capsules", life?.capsuleId ?? "", "ctl/control.sock");
      const result = spawnSync(program, words, {
        env: { TORPOR_SOCKET: control },
        encoding: "utf8",
      });
      return [result.status, result.stdout.trim()];
    };
    expect(socket).toContain(agent.home);
    expect(request("ready")).toEqual([0, "done"]);
    expect(request("heartbeat")).toEqual([0, "done"]);
    const [, token] = request("inhibit", 'it\u00fc "quotes"', "--for", "60");
    expect(agent.cli("capture", "server")).toMatchObject({
      status: 6,
      error: expect.stringContaining('it\u00fc "quotes"') as string,
    });
    expect(agent.cli("capture", "server", "--force").status).toBe(0);
    expect(request("allow", token)).toEqual([0, "done"]);
    const [, saved] = request("checkpoint", "--label", "L\u00e4bel", "--ticket", "ticket-1");
    const [image] = await agent.images("server");
    expect(image).toMatchObject({ label: "L\u00e4bel", trigger: "application" });
    expect(saved).toBe(`saved ${image?.id ?? ""}`);
    expect(request("outcome", "ticket-1")).toEqual([0, saved]);
    expect(request("outcome", "ticket-2")).toEqual([1, "unknown"]);
    expect(JSON.parse(request("images")[1])).toMatchObject({
      images: [{ label: "L\u00e4bel" }, {}],
    });
    expect(JSON.parse(request("status")[1])).toMatchObject({ application: "server", life: 1 });
    expect(request("--status", "checkpoint", "--no-wait", "--ticket", "ticket-3")).toEqual([
      11,
      "pending ticket-3",
    ]);
    expect(request("restore", "--label", "nowhere")[0]).toBe(1);
  });
});

it("a client whose agent is killed in the middle of its checkpoint has its answer from the next one", async () => {
  await serving((path) => [compile(agent, "example.c"), path, "1"]);
  for (let round = 0; round < 3; round++) {
    const answer = request(join(agent.home, "work/server.sock"));
    expect(await answer).toEqual({ requests: round + 1, restored: 0 });
    await delay(round * 40);
    await agent.down("SIGKILL");
    await agent.up();
  }
  // It answers again only when its checkpoint has been answered.
  expect(await request(join(agent.home, "work/server.sock"))).toMatchObject({ requests: 4 });
  const images = await agent.images("server");
  expect(images.length).toBeGreaterThan(0);
  expect(images.every(({ trigger, state }) => trigger === "application" && state === "ok")).toBe(
    true,
  );
});
