// The same process under Torpor and under CRIU, turn by turn: how long it stands still for a capture, when its image
// is durable, and how soon a restore runs its first instruction. Beside them what can't be beaten: fork() of that
// process, and the disk's own speed.
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { bringCriu } from "./criu.mjs";
import { compileGapWatch, gapsIn, reportedBy, startDetachedGapWatch } from "./gap-watch.mjs";
import { callHelper } from "./helper-calls.mjs";

const sizes = process.env.TORPOR_BENCH_FULL === "1" ? [16, 64, 256, 1024, 4096] : [16, 256, 1024];
const rounds = 7;
/** How long the process is watched after a capture has returned. */
const settleMs = 30;

/** @typedef {"pause" | "durable" | "first instruction"} Quantity */

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: "pause, time to durable and time to the first instruction, beside CRIU",
  async measure({ scratch, say }) {
    await compileGapWatch();
    const criu = await bringCriu();
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const pages of /** @type {const} */ (["small", "huge"])) {
      for (const megabytes of sizes) {
        const label = `${megabytes} MiB${pages === "huge" ? ", huge pages" : ""}`;
        const values = await compare({ scratch, criu, megabytes, pages });
        for (const [name, each] of values)
          series.push({ name: `${label}: ${name}`, unit: "ms", values: each });
      }
    }
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
 * @param {{scratch: string, criu: string, megabytes: number, pages: "small" | "huge"}} wanted
 * @returns {Promise<Map<string, number[]>>}
 */
async function compare({ scratch, criu, megabytes, pages }) {
  /** @type {Map<string, number[]>} */
  const values = new Map();
  /** @param {string} name @param {number} value */
  const add = (name, value) => values.set(name, [...(values.get(name) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    add("disk, sequential write", await diskWrite(scratch, megabytes));
    for (const engine of [torpor(scratch), peer(scratch, criu)]) {
      const reportFile = join(scratch, `report-${round}-${engine.name}`);
      const started = await startDetachedGapWatch({ megabytes, reportFile, pages });
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
        await engine.forget();
      } finally {
        end(pid);
        await rm(reportFile, { force: true });
      }
    }
  }
  return values;
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
