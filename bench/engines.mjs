// The engines that are measured side by side, each with the same few calls, and what is measured of each: one
// process under its own eyes (gap_watch.c), captured while it runs on, and woken.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { gapsIn, reportedBy } from "./gap-watch.mjs";
import { callHelper } from "./helper-calls.mjs";

/** How long the process is watched after a capture has returned. */
const settleMs = 30;

/**
 * @typedef {object} Engine
 * @property {string} name
 * @property {(pid: number, stop: boolean) => Promise<{processorMs?: number}>} capture and what it tells of itself
 * @property {() => Promise<unknown>} restore with the very PIDs it had
 * @property {() => Promise<number>} sizeBytes of what the capture wrote
 * @property {() => Promise<void>} forget what it wrote
 */

/**
 * @param {string} scratch
 * @param {string} [compress] none, lz4 or zstd
 * @returns {Engine}
 */
export function torpor(scratch, compress = "none") {
  const image = join(scratch, "image.torpor");
  const home = join(scratch, "home");
  return {
    name: "Torpor",
    capture: (pid, stop) =>
      callHelper(
        [
          ...["capture", "--pid", String(pid), "--image", image, "--compress", compress],
          ...(stop ? ["--stop"] : []),
        ],
        home,
      ),
    restore: () => callHelper(["restore", "--image", image, "--in-place"], home),
    sizeBytes: async () => (await stat(image)).size,
    forget: () => rm(image, { force: true }),
  };
}

/**
 * @param {string} scratch
 * @param {string} program the path of CRIU's
 * @returns {Engine}
 */
export function criu(scratch, program) {
  const folder = join(scratch, "criu");
  /** @param {string[]} args */
  const call = async (args) => {
    const result = await run([program, ...args, "-D", folder, "-o", "log", "-v1"], {
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
    capture: async (pid, stop) => {
      await mkdir(folder, { recursive: true });
      await call(["dump", "-t", String(pid), ...(stop ? [] : ["--leave-running"])]);
      // It leaves its files to the page cache; a boot image is on the disk when the helper says so.
      if (!stop) await run(["sync", "-f", folder]);
      return {};
    },
    restore: () => call(["restore", "-d"]),
    sizeBytes: async () => {
      const files = await readdir(folder);
      const sizes = await Promise.all(
        files.map(async (file) => (await stat(join(folder, file))).size),
      );
      return sizes.reduce((sum, size) => sum + size, 0);
    },
    forget: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * A capture that lets the process run on.
 * @param {Engine} engine
 * @param {number} pid
 * @param {string} reportFile
 * @returns {Promise<{durableMs: number, pauseMs: number, sizeMb: number, processorMs: number | undefined}>} the
 *   pause: the largest gap in the process' own clock; gaps below a millisecond are not reported, and count as one
 */
export async function captureOnce(engine, pid, reportFile) {
  const before = gapsIn(reportFile).length;
  const begun = performance.now();
  const { processorMs } = await engine.capture(pid, false);
  const durableMs = performance.now() - begun;
  await delay(settleMs);
  const gaps = gapsIn(reportFile).slice(before);
  const sizeMb = (await engine.sizeBytes()) / 1e6;
  await engine.forget();
  const pauseMs = Math.max(1, ...gaps.map((each) => each.gapMs));
  return { durableMs, pauseMs, sizeMb, processorMs };
}

/**
 * A capture that ends the process, and a restore.
 * @param {Engine} engine
 * @param {number} pid
 * @param {string} reportFile
 * @returns {Promise<number>} milliseconds from the start of the restore to the process' first instruction
 */
export async function wakeOnce(engine, pid, reportFile) {
  const tree = treeOf(pid);
  await engine.capture(pid, true);
  // All of them: what the machine's init has not collected yet, for up to seconds, neither engine can make anew.
  for (const each of tree) await gone(each);
  const begun = performance.timeOrigin + performance.now();
  await engine.restore();
  // Not one that it was about to report when it was stopped.
  const resumption = () => gapsIn(reportFile).find(({ resumedAtMs }) => resumedAtMs >= begun);
  await reportedBy(reportFile, () => resumption() !== undefined);
  const resumed = resumption();
  await allThere(pid);
  await engine.forget();
  return (resumed?.resumedAtMs ?? Number.NaN) - begun;
}

/**
 * Waits until nothing of a woken process' memory is missing any more (the flag `um` of proc_pid_smaps(5)): a capture
 * would have to wait for it, and CRIU's would leave it out.
 * @param {number} pid
 */
async function allThere(pid) {
  for (const each of treeOf(pid)) {
    while (/^VmFlags:.* um\b/m.test(readFileSync(`/proc/${each}/smaps`, "utf8"))) await delay(20);
  }
}

/**
 * A process and all below it.
 * @param {number} pid
 * @returns {number[]}
 */
function treeOf(pid) {
  const below = readdirSync(`/proc/${pid}/task`).flatMap((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, "utf8").split(" ").filter(Boolean),
  );
  return [pid, ...below.flatMap((child) => treeOf(Number(child)))];
}

/** @param {number} pid waits until its number is free again */
export async function gone(pid) {
  for (let tries = 0; tries < 2000 && existsSync(`/proc/${pid}`); tries++) await delay(5);
}

/** @param {number} pid */
export function end(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
