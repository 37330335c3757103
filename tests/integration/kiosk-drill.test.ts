/**
 * The kiosk drill: an application works and asks for images, and everything (agent, helpers, capsules) is
 * killed at random moments: in the middle of a capture, a commit, a prune, a restore. Each time the agent
 * starts, the application is back at its newest durable state, and nothing that was acknowledged is lost.
 *
 * TORPOR_DRILL_ROUNDS=200 for the long one; TORPOR_DRILL_SEED for other moments.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it, vi } from "vitest";

import { hasEnded, TestAgent } from "./support/test-agent.js";

const ROUNDS = Number(process.env.TORPOR_DRILL_ROUNDS ?? 8);
const SEED = Number(process.env.TORPOR_DRILL_SEED ?? 20261123);
const BACK_WITHIN_MS = 30_000;
const kiosk = fileURLToPath(new URL("../fixtures/kiosk/kiosk.py", import.meta.url));

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

/** Numbers from 0 to `below` that are the same in each run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
}

interface Entry {
  readonly what: string;
  readonly count: number;
}

function readLedger(file: string): Entry[] {
  return (existsSync(file) ? readFileSync(file, "utf8") : "")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [what = "", count = ""] = line.split(" ");
      return { what, count: Number(count) };
    });
}

/** Every process that works on this test's state folder and no other: agent, helpers, capsules' inits. */
function processesOf(home: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const environment = readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
        const program = readlinkSync(`/proc/${name}/exe`);
        return (
          environment.includes(`TORPOR_HOME=${home}`) &&
          (program.includes("torpor-helper") || program === process.execPath)
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

function initsOf(home: string): number[] {
  const capsules = join(home, "run/capsules");
  return (existsSync(capsules) ? readdirSync(capsules) : []).flatMap((id) => {
    try {
      const file = join(capsules, id, "capsule.json");
      return (JSON.parse(readFileSync(file, "utf8")) as { initPid: number }).initPid;
    } catch {
      // It was just being made.
      return [];
    }
  });
}

/** Like a power cut, as far as processes go: all of them, at once. */
async function killEverything(): Promise<void> {
  const down = agent.down("SIGKILL");
  for (let sweep = 0; sweep < 3; sweep++) {
    const pids = [...new Set([...processesOf(agent.home), ...initsOf(agent.home)])];
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended with another one.
      }
    }
    const deadline = Date.now() + 10_000;
    while (!pids.every(hasEnded) && Date.now() < deadline) {
      await delay(10);
    }
  }
  await down;
}

it(
  `${ROUNDS} times everything is killed, and the kiosk is back where it was acknowledged`,
  async () => {
    const random = generator(SEED);
    agent = TestAgent.create({});
    const ledgerFile = join(agent.home, "ledger");
    agent.writeApplication(
      "kiosk",
      `command = ["python3", "${kiosk}", "${ledgerFile}"]\nstop-grace = "1s"\n` +
        // Some complete, most of them building on others: pruning has both to get right.
        `[capture]\nincremental = true\nlongest-chain = 3\n[keep]\ncount = 3\n[recovery]\nhealthy-after = "100ms"\n`,
    );
    await agent.up();
    await agent.done(agent.client.call("applications.start", { app: "kiosk" }));
    let lost = 0;
    const seen = { restored: 0, started: 0, duringStart: 0, operations: new Map<string, number>() };
    for (let round = 0; round < ROUNDS; round++) {
      await delay(random(700));
      const busy = await agent.client
        .call("operations.list", { app: "kiosk", active: true })
        .then(({ operations }) => operations[0]?.phase ?? "idle");
      seen.operations.set(busy, (seen.operations.get(busy) ?? 0) + 1);
      await killEverything();
      if (random(3) === 0) {
        // Once more while it is coming back: in the middle of the restore, or of what comes before.
        seen.duringStart += 1;
        const up = agent.up().catch(() => null);
        await delay(100 + random(500));
        await up;
        await delay(random(60));
        await killEverything();
      }
      const before = readLedger(ledgerFile);
      const acknowledged = Math.max(
        0,
        ...before.filter(({ what }) => what === "saved").map(({ count }) => count),
      );
      await agent.up();

      const deadline = Date.now() + BACK_WITHIN_MS;
      let back: Entry | undefined;
      while (back === undefined) {
        back = readLedger(ledgerFile)
          .slice(before.length)
          .find(({ what }) => what === "restored" || what === "start");
        if (back === undefined && Date.now() > deadline) {
          const { occurrences } = await agent.client.call("recovery.history", { app: "kiosk" });
          throw new Error(
            `round ${round}: the kiosk did not come back\n${JSON.stringify(occurrences.slice(0, 3), null, 1)}\n${agent.log.slice(-4000)}`,
          );
        }
        await delay(10);
      }
      seen[back.what === "restored" ? "restored" : "started"] += 1;
      lost += Math.max(0, acknowledged - back.count);
      expect(back.count, `round ${round}: lost what was acknowledged`).toBeGreaterThanOrEqual(
        acknowledged,
      );

      // The application may answer before the agent has done the last of its work.
      const { what } = back;
      await vi.waitFor(async () => {
        const { life, state } = await agent.application("kiosk");
        expect(state).toMatch(/running|capturing/);
        const [reason] = (await agent.client.call("recovery.history", { app: "kiosk", limit: 1 }))
          .occurrences;
        expect(reason).toMatchObject({ kind: "agent-failure", life: life?.number });
        if (what === "restored") {
          expect(life?.restoredFromImageId).toBe(reason?.decision.imageId);
        }
        expect(readdirSync(join(agent.home, "run/capsules"))).toEqual([life?.capsuleId]);
      }, 5000);
    }
    // At rest: every file is an image in the catalog and whole, and no half of one is left.
    // It asks for images all the time; between two of them there is a moment for the stop.
    const stopped = await vi.waitFor(
      () => agent.client.call("applications.stop", { app: "kiosk" }),
      { timeout: 10_000, interval: 5 },
    );
    await agent.done(Promise.resolve(stopped));
    const images = await agent.images("kiosk");
    expect(images.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(readdirSync(agent.store).sort()).toEqual(
      images.map(({ path }) => path.slice(agent.store.length + 1)).sort(),
    );
    for (const image of images) {
      await agent.done(agent.client.call("images.verify", { image: image.id }));
    }
    expect(seen.restored).toBeGreaterThan(0);
    expect(lost).toBe(0);
    console.log(
      `drill: ${ROUNDS} rounds (seed ${SEED}), ${seen.restored} restored, ${seen.started} started anew, ` +
        `${seen.duringStart} killed again while coming back, busy with ${JSON.stringify([...seen.operations])}, ${lost} lost`,
    );
  },
  60_000 + ROUNDS * 20_000,
);
