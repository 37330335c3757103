/**
 * A program that crashes and crashes, on real processes: each attempt by the rules and after the pause that the
 * file asks for, at last it is given up, and nothing of all that is left over.
 *
 * TORPOR_DRILL_CRASHES=1000 for the long one.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";

import { TestAgent } from "./support/test-agent.js";

/** A multiple of 4: a quarter for each of two images, the rest for clean starts. */
const CRASHES = Number(process.env.TORPOR_DRILL_CRASHES ?? 12);
const FROM_IMAGE = CRASHES / 4;
/** What an attempt takes on a busy machine, its pause included. */
const ATTEMPT_MS = 5_000;

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

it(
  `${CRASHES} attempts by the rules, with the pauses of the file, and then it has failed for good`,
  async () => {
    agent = TestAgent.create({});
    const flag = join(agent.home, "crash");
    agent.writeApplication(
      "crashing",
      `command = ["bash", "-c", "while [ ! -e ${flag} ]; do sleep 0.02; done; exit 7"]\nstop-grace = "1s"\n` +
        `[recovery]\non-crash = ["newest"]\nfailures-per-image = ${FROM_IMAGE}\nolder-images = 1\nstart-failures = ${CRASHES / 2}\n` +
        `back-off = "20ms"\nlongest-back-off = "160ms"\n`,
    );
    await agent.up();
    await agent.done(agent.client.call("applications.start", { app: "crashing" }));
    const taken: string[] = [];
    for (let each = 0; each < 2; each++) {
      const { result } = await agent.done(agent.client.call("capture.start", { app: "crashing" }));
      taken.unshift(result?.imageId ?? "");
    }
    const [newer, older] = taken;
    const descriptors = (): number => readdirSync(`/proc/${agent.pid}/fd`).length;
    const mounts = (): number => readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;
    const before = { descriptors: descriptors(), mounts: mounts() };

    writeFileSync(flag, "");
    await vi.waitFor(
      async () => {
        expect((await agent.application("crashing")).stateReason).toMatch(/^given up/);
      },
      { timeout: CRASHES * ATTEMPT_MS, interval: 100 },
    );

    const { occurrences } = await agent.client.call("recovery.history", {
      app: "crashing",
      limit: 10_000,
    });
    const told = occurrences
      .reverse()
      .map(({ kind, decision }) => [kind, decision.action, decision.imageId, decision.delayMs]);
    const pauses = [0, 20, 40, 80, ...Array.from({ length: CRASHES - 4 }, () => 160)];
    expect(told).toEqual([
      ...pauses.map((delayMs, attempt) => [
        "crash",
        attempt < 2 * FROM_IMAGE ? "restore" : "start",
        attempt < FROM_IMAGE ? newer : attempt < 2 * FROM_IMAGE ? older : null,
        delayMs,
      ]),
      ["crash", "give-up", null, 0],
    ]);
    for (const { decision, state, at, endedAt } of occurrences.slice(0, -1)) {
      expect(state).toBe("done");
      expect(Date.parse(endedAt ?? "") - Date.parse(at)).toBeGreaterThanOrEqual(
        decision.delayMs - 1,
      );
    }

    expect(await agent.application("crashing")).toMatchObject({ state: "failed", life: null });
    const { notices } = await agent.client.call("notices.list", {});
    expect(notices.filter(({ message }) => message.includes("It is given up"))).toHaveLength(1);
    const suspect = await agent.images("crashing");
    expect(suspect.map(({ id, suspectFor, failures }) => [id, suspectFor, failures])).toEqual([
      [newer, ["crash"], FROM_IMAGE],
      [older, ["crash"], FROM_IMAGE],
    ]);
    expect(readdirSync(join(agent.home, "run/capsules"))).toEqual([]);
    expect(mounts()).toBe(before.mounts);
    // One life's connections and log less, and none more.
    expect(descriptors()).toBeLessThanOrEqual(before.descriptors);

    // Given up means given up: neither time nor a restart of the agent tries once more.
    await agent.down("SIGTERM");
    await agent.up();
    expect(await agent.application("crashing")).toMatchObject({ state: "failed", life: null });
    expect(
      (await agent.client.call("recovery.history", { app: "crashing", limit: 10_000 })).occurrences,
    ).toHaveLength(occurrences.length);
  },
  CRASHES * ATTEMPT_MS + 60_000,
);
