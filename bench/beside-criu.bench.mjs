// The same process under Torpor and under CRIU, turn by turn: how long it stands still for a capture, when its image
// is durable, how much it gets done until then, and how soon a restore runs its first instruction. Beside them what
// can't be beaten: fork() of that process, and the disk's own speed.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { bringCriu } from "./criu.mjs";
import { captureOnce, criu, end, gone, torpor, wakeOnce } from "./engines.mjs";
import { startDetachedGapWatch, workIn } from "./gap-watch.mjs";
import { compileTarget } from "./targets.mjs";

const quick = process.env.TORPOR_BENCH_QUICK === "1";
const sizes = quick ? [16, 256, 1024] : [16, 64, 256, 1024, 4096];
const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);
/** How long it works undisturbed before it is captured. */
const undisturbedMs = 300;
/** How long it is watched after a capture has returned. */
const settleMs = 50;

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

/** What is to be reached, by the name of a series. */
const goals = new Map([
  ["16 MiB: pause, Torpor", 4],
  ["16 MiB: pause, Torpor's of CRIU's", 25],
  ["1024 MiB: pause, Torpor, beyond fork()", 6],
  ["1024 MiB: pause, Torpor's of CRIU's", 6.7],
  ["1024 MiB, huge pages: pause, Torpor", 6],
  ["1024 MiB: durable, Torpor, of the disk's own writing", 125],
  ["16 MiB: first instruction, Torpor", 20],
  ["1024 MiB: first instruction, Torpor", 40],
  ["1024 MiB: first instruction, Torpor's of CRIU's", 10],
]);

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: "pause, time to durable and time to the first instruction, beside CRIU",
  async measure({ scratch, say }) {
    await compileTarget("gap_watch");
    const program = await bringCriu();
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const [label, shape] of Object.entries(shapes)) {
      const values = await compare({
        scratch,
        program,
        shape,
        peerFailed: (why) => say(`${label}: a round without the peer: ${why}`),
      });
      for (const [what, each] of values) {
        const name = `${label}: ${what}`;
        const unit = what.includes(" of ") ? "%" : what.startsWith("image") ? "MB" : "ms";
        const goal = goals.get(name);
        series.push({ name, unit, values: each, ...(goal === undefined ? {} : { goal }) });
      }
    }
    const megabytes = 1024;
    for (const [name, values] of await slowdown({ scratch, program, megabytes }))
      series.push({ name: `${megabytes} MiB: ${name}`, unit: "%", values });
    say(
      "pause: the largest gap in the process' own clock; the rest from the start of the program to its end,",
    );
    say(
      "the first instruction as the process' own clock tells it; each round alternates the two engines",
    );
    say(
      "work: writes to places at random in all of the memory, as many as the processor allows; each first write to a page that a capture's twin shares is a page fault",
    );
    return series;
  },
};

/**
 * @param {{scratch: string, program: string, shape: Shape, peerFailed: (why: string) => void}} wanted
 * @returns {Promise<Map<string, number[]>>}
 */
async function compare({ scratch, program, shape, peerFailed }) {
  /** @type {Map<string, number[]>} */
  const values = new Map();
  /** @param {string} name @param {number} value */
  const add = (name, value) => values.set(name, [...(values.get(name) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    const diskMs = await diskWrite(scratch, shape.megabytes);
    add("disk, sequential write", diskMs);
    /** @type {{pauseMs: number, firstMs: number} | undefined} */
    let own;
    for (const engine of [torpor(scratch), criu(scratch, program)]) {
      const reportFile = join(scratch, `report-${round}-${engine.name}`);
      const { pid, forkMs } = await startDetachedGapWatch(shape, reportFile);
      try {
        const captured = await captureOnce(engine, pid, reportFile);
        const firstMs = await wakeOnce(engine, pid, reportFile);
        add(`durable, ${engine.name}`, captured.durableMs);
        add(`pause, ${engine.name}`, captured.pauseMs);
        add(`image, ${engine.name}`, captured.sizeMb);
        add(`first instruction, ${engine.name}`, firstMs);
        if (own === undefined) {
          own = { pauseMs: captured.pauseMs, firstMs };
          add("fork()", forkMs);
          add("pause, Torpor, beyond fork()", captured.pauseMs - forkMs);
          add("durable, Torpor, of the disk's own writing", (captured.durableMs / diskMs) * 100);
        } else {
          add("pause, Torpor's of CRIU's", (own.pauseMs / captured.pauseMs) * 100);
          add("first instruction, Torpor's of CRIU's", (own.firstMs / firstMs) * 100);
        }
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
 * @param {{scratch: string, program: string, megabytes: number}} wanted
 * @returns {Promise<Map<string, number[]>>}
 */
async function slowdown({ scratch, program, megabytes }) {
  /** @type {Map<string, number[]>} */
  const values = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const engine of [torpor(scratch), criu(scratch, program)]) {
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
        await gone(pid);
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
