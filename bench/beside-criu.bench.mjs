// The same process under Torpor and under CRIU, turn by turn: how long it stands still for a capture, when its image
// is durable, how much it gets done until then, and how soon a restore runs its first instruction. Beside them what
// can't be beaten: fork() of that process, and the disk's own speed.
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { bringCriu } from "./criu.mjs";
import {
  compileGapWatch,
  gapsIn,
  reportedBy,
  startDetachedGapWatch,
  workIn,
} from "./gap-watch.mjs";
import { callHelper } from "./helper-calls.mjs";

const sizes = process.env.TORPOR_BENCH_FULL === "1" ? [16, 64, 256, 1024, 4096] : [16, 256, 1024];
const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);
/** How long the process is watched after a capture has returned. */
const settleMs = 30;
/** How long it works undisturbed before it is captured. */
const undisturbedMs = 300;

/** @typedef {import("./gap-watch.mjs").Shape} Shape */

/** @type {Record<string, Shape>} */
const shapes = {
  ...Object.fromEntries(
    sizes.map((megabytes) => [`${megabytes} MiB`, { megabytes, pages: "small" }]),
  ),
  ...Object.fromEntries(
    sizes.map((megabytes) => [`${megabytes} MiB, huge pages`, { megabytes, pages: "huge" }]),
  ),
  "256 MiB, 8 processes": { megabytes: 256, pages: "small", processes: 8 },
  "256 MiB, 64 threads": { megabytes: 256, pages: "small", threads: 64 },
};

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: "pause, time to durable and time to the first instruction, beside CRIU",
  async measure({ scratch, say }) {
    await compileGapWatch();
    const criu = await bringCriu();
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const [label, shape] of Object.entries(shapes)) {
      const values = await compare({
        scratch,
        criu,
        shape,
        peerFailed: (why) => say(`${label}: a round without the peer: ${why}`),
      });
      for (const [name, each] of values)
        series.push({ name: `${label}: ${name}`, unit: "ms", values: each });
    }
    const megabytes = 1024;
    for (const [name, values] of await slowdown({ scratch, criu, megabytes }))
      series.push({ name: `${megabytes} MiB: ${name}`, unit: "%", values });
    say(
      "pause: the largest gap in the process' own clock; the rest from the start of the program to its end,",
    );
    say(
      "the first instruction as the process' own clock tells it; each round alternates the two engines",
    );
    return series;
  },
};

/**
 * @param {{scratch: string, criu: string, shape: Shape, peerFailed: (why: string) => void}} wanted
 * @returns {Promise<Map<string, number[]>>}
 */
async function compare({ scratch, criu, shape, peerFailed }) {
  /** @type {Map<string, number[]>} */
  const values = new Map();
  /** @param {string} name @param {number} value */
  const add = (name, value) => values.set(name, [...(values.get(name) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    add("disk, sequential write", await diskWrite(scratch, shape.megabytes));
    for (const engine of [torpor(scratch), peer(scratch, criu)]) {
      const reportFile = join(scratch, `report-${round}-${engine.name}`);
      const started = await startDetachedGapWatch(shape, reportFile);
      if (engine.name === "Torpor") add("fork()", started.forkMs);
      const { pid } = started;
      try {
        const before = gapsIn(reportFile).length;
        const begun = performance.now();
        await engine.capture(pid, false);
        add(`durable, ${engine.name}`, performance.now() - begun);
        await delay(settleMs);
        const gaps = gapsIn(reportFile).slice(before);
        // Gaps below a millisecond are not reported.
        add(`pause, ${engine.name}`, Math.max(1, ...gaps.map((each) => each.gapMs)));
        await engine.forget();

        await engine.capture(pid, true);
        const reported = gapsIn(reportFile).length;
        await gone(pid);
        const restoreBegun = performance.timeOrigin + performance.now();
        await engine.restore();
        await reportedBy(reportFile, () => gapsIn(reportFile).length > reported);
        const resumed = gapsIn(reportFile)[reported];
        if (resumed !== undefined)
          add(`first instruction, ${engine.name}`, resumed.resumedAtMs - restoreBegun);
      } catch (error) {
        if (engine.name === "Torpor" || !(error instanceof Setback)) throw error;
        peerFailed(error.message);
      } finally {
        end(pid);
        await gone(pid);
        await engine.forget();
        await rm(reportFile, { force: true });
      }
    }
  }
  return values;
}

/**
 * How much a process that writes to all of its memory gets done until its image is durable, of what it does else.
 * @param {{scratch: string, criu: string, megabytes: number}} wanted
 * @returns {Promise<Map<string, number[]>>}
 */
async function slowdown({ scratch, criu, megabytes }) {
  /** @type {Map<string, number[]>} */
  const values = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const engine of [torpor(scratch), peer(scratch, criu)]) {
      const reportFile = join(scratch, `work-${round}-${engine.name}`);
      const { pid } = await startDetachedGapWatch(
        { megabytes, pages: "small", work: 1 },
        reportFile,
      );
      try {
        await delay(undisturbedMs);
        const begun = performance.timeOrigin + performance.now();
        await engine.capture(pid, false);
        const ended = performance.timeOrigin + performance.now();
        await delay(settleMs);
        const before = rate(reportFile, begun - undisturbedMs, begun);
        const during = rate(reportFile, begun, ended);
        const name = `work done until durable, of what is done else, ${engine.name}`;
        values.set(name, [...(values.get(name) ?? []), (during / before) * 100]);
        await engine.forget();
      } finally {
        end(pid);
        await rm(reportFile, { force: true });
      }
    }
  }
  return values;
}

/**
 * Writes to memory per millisecond.
 * @param {string} reportFile
 * @param {number} from
 * @param {number} to
 */
function rate(reportFile, from, to) {
  const within = workIn(reportFile).filter(({ atMs }) => atMs > from && atMs <= to);
  return within.reduce((sum, { writes }) => sum + writes, 0) / (to - from);
}

/** @param {string} scratch */
function torpor(scratch) {
  const image = join(scratch, "image.torpor");
  const home = join(scratch, "home");
  return {
    name: "Torpor",
    /** @param {number} pid @param {boolean} stop */
    capture: (pid, stop) =>
      callHelper(
        ["capture", "--pid", String(pid), "--image", image, ...(stop ? ["--stop"] : [])],
        home,
      ),
    restore: () => callHelper(["restore", "--image", image, "--in-place"], home),
    forget: () => rm(image, { force: true }),
  };
}

/**
 * @param {string} scratch
 * @param {string} criu
 */
function peer(scratch, criu) {
  const folder = join(scratch, "criu");
  /** @param {string[]} args */
  const call = async (args) => {
    const result = await run([criu, ...args, "-D", folder, "-o", "log", "-v1"], {
      timeLimitSeconds: 120,
    });
    if (result.status !== 0) {
      throw new Setback(
        `CRIU's ${args[0]} failed`,
        `Its log is ${join(folder, "log")}.`,
        result.tail,
      );
    }
  };
  return {
    name: "CRIU",
    /** @param {number} pid @param {boolean} stop */
    capture: async (pid, stop) => {
      await mkdir(folder, { recursive: true });
      await call(["dump", "-t", String(pid), ...(stop ? [] : ["--leave-running"])]);
      // It leaves its files to the page cache; a boot image is on the disk when the helper says so.
      if (!stop) await run(["sync", "-f", folder]);
    },
    restore: () => call(["restore", "-d"]),
    forget: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * @param {string} scratch
 * @param {number} megabytes
 */
async function diskWrite(scratch, megabytes) {
  const file = join(scratch, "disk");
  const begun = performance.now();
  const result = await run([
    "dd",
    "if=/dev/zero",
    `of=${file}`,
    "bs=4M",
    `count=${megabytes / 4}`,
    "oflag=direct",
    "conv=fsync",
  ]);
  const took = performance.now() - begun;
  await rm(file, { force: true });
  if (result.status !== 0) throw new Setback("dd could not write", "Is there room?", result.tail);
  return took;
}

/** @param {number} pid waits until its number is free again */
async function gone(pid) {
  for (let tries = 0; tries < 2000 && existsSync(`/proc/${pid}`); tries++) await delay(5);
}

/** @param {number} pid */
function end(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
