// The process under test: started in a capsule, and read by what it reports of itself.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { Setback } from "../scripts/setback.mjs";
import { callHelper } from "./helper-calls.mjs";
import { targetProgram } from "./targets.mjs";

/** Its program. */
export const gapWatch = targetProgram("gap_watch");

/** @typedef {{capsule: string, initPid: number, reportFile: string}} Watched */

/**
 * Starts it in a capsule of its own and waits until its memory is filled.
 * @param {{home: string, capsule: string, megabytes: number, reportFile: string}} wanted
 * @returns {Promise<Watched>}
 */
export async function startGapWatch({ home, capsule, megabytes, reportFile }) {
  const started = await callHelper(
    ["run", "--capsule", capsule, "--", gapWatch, String(megabytes), reportFile],
    home,
  );
  await reportedBy(reportFile, (lines) => lines.some((line) => line.startsWith("ready")));
  return { capsule, initPid: started.initPid, reportFile };
}

/** @typedef {{megabytes: number, pages: "small" | "huge", processes?: number, threads?: number, work?: 1}} Shape */

/**
 * Starts it by itself, in a session of its own, and waits until its memory is filled.
 * @param {Shape} shape what it is like; gap_watch.c says what each word means
 * @param {string} reportFile
 * @param {{command: string[], log: number}} [program] what it is to watch as its child, and where that writes to
 * @returns {Promise<{pid: number, forkMs: number}>}
 */
export async function startDetachedGapWatch({ megabytes, ...options }, reportFile, program) {
  const words = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  if (program !== undefined) words.push("--", ...program.command);
  const log = program?.log ?? "ignore";
  const child = spawn(gapWatch, [String(megabytes), reportFile, ...words], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  child.unref();
  await reportedBy(reportFile, (lines) => lines.some((line) => line.startsWith("ready")));
  const fork = linesOf(reportFile).find((line) => line.startsWith("fork"));
  return { pid: child.pid ?? 0, forkMs: Number(fork?.split(" ")[1]) / 1e6 };
}

/**
 * The gaps that it has reported: how long it stood still, and when it went on (both in milliseconds).
 * @param {string} reportFile
 * @returns {{gapMs: number, resumedAtMs: number}[]}
 */
export function gapsIn(reportFile) {
  return linesOf(reportFile)
    .map((line) => line.split(" "))
    .filter(([word]) => word === "gap")
    .map(([, gap, after]) => ({ gapMs: Number(gap) / 1e6, resumedAtMs: Number(after) / 1e6 }));
}

/**
 * What it has reported of its work: so many writes to memory, by then.
 * @param {string} reportFile
 * @returns {{writes: number, atMs: number}[]}
 */
export function workIn(reportFile) {
  return linesOf(reportFile)
    .map((line) => line.split(" "))
    .filter(([word]) => word === "work")
    .map(([, writes, at]) => ({ writes: Number(writes), atMs: Number(at) / 1e6 }));
}

/**
 * @param {string} reportFile
 * @param {(lines: string[]) => boolean} isThere
 */
export async function reportedBy(reportFile, isThere) {
  const deadline = Date.now() + 30_000;
  while (!isThere(linesOf(reportFile))) {
    if (Date.now() > deadline) {
      throw new Setback(
        "the process under test did not report in time",
        `It reported:\n${linesOf(reportFile).join("\n")}`,
      );
    }
    await delay(5);
  }
}

/** @param {number} initPid ends the capsule with all that is in it */
export async function endCapsule(initPid) {
  try {
    process.kill(initPid, "SIGKILL");
    for (let tries = 0; tries < 1000; tries++) {
      process.kill(initPid, 0);
      await delay(5);
    }
  } catch {
    // It is gone.
  }
}

/** @param {string} path */
function linesOf(path) {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    return [];
  }
}
