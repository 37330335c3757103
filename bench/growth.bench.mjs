// Do time and memory of a capture and a restore grow in step with descriptors, threads and mappings?
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { helperPath } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";
import { compileTarget, targetProgram } from "./targets.mjs";

const most = { descriptors: 10_000, threads: 2000, mappings: 50_000 };
const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 3);
const limitMs = 60_000;
const targets = ["crowd", "peak_memory"];

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "10,000 descriptors, 2,000 threads, 50,000 mappings, and a quarter and a half of them: time and memory of the helper",
  async measure({ scratch, say }) {
    for (const target of targets) await compileTarget(target);
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const [kind, whole] of Object.entries(most)) {
      for (const count of [whole / 4, whole / 2, whole]) {
        /** @type {Awaited<ReturnType<typeof measureOnce>>[]} */
        const measured = [];
        for (let round = 0; round < rounds; round++) {
          measured.push(await measureOnce(kind, count, scratch));
        }
        const of = `${count} ${kind}`;
        /** @param {(one: typeof measured[number]) => number} value */
        const values = (value) => measured.map(value);
        series.push(
          { name: `${of}: pause`, unit: "ms", values: values((one) => one.pauseMs) },
          { name: `${of}: capture`, unit: "ms", values: values((one) => one.captureMs) },
          { name: `${of}: restore`, unit: "ms", values: values((one) => one.restoreMs) },
          {
            name: `${of}: helper's peak memory, capture`,
            unit: "MiB",
            values: values((one) => one.captureMiB),
          },
          {
            name: `${of}: helper's peak memory, restore`,
            unit: "MiB",
            values: values((one) => one.restoreMiB),
          },
        );
      }
    }
    say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return series;
  },
};

/**
 * One process captured with `--stop` and restored in place.
 * @param {string} kind
 * @param {number} count
 * @param {string} scratch
 */
async function measureOnce(kind, count, scratch) {
  const report = join(scratch, "crowd-report");
  const image = join(scratch, "crowd.torpor");
  rmSync(report, { force: true });
  const child = spawn(targetProgram("crowd"), [kind, String(count), report], {
    detached: true,
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const pid = child.pid ?? 0;
  try {
    await ready(report);
    const captured = await measured(
      ["capture", "--pid", String(pid), "--image", image, "--stop"],
      scratch,
    );
    await ended;
    const restored = await measured(["restore", "--image", image, "--in-place"], scratch);
    return {
      pauseMs: captured.result.pauseMs,
      captureMs: captured.result.durationMs,
      captureMiB: captured.peakMiB,
      restoreMs: restored.result.durationMs,
      restoreMiB: restored.peakMiB,
    };
  } finally {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It was ended by its capture and is not there again.
    }
    rmSync(image, { force: true });
  }
}

/**
 * Calls the helper and takes note of its peak resident memory.
 * @param {string[]} args
 * @param {string} scratch
 * @returns {Promise<{result: Record<string, any>, peakMiB: number}>}
 */
async function measured(args, scratch) {
  const file = join(scratch, "peak-memory");
  rmSync(file, { force: true });
  const command = [targetProgram("peak_memory"), file, helperPath, ...args];
  const outcome = await run(command);
  // The result is the last line of standard output; nothing else is said when all goes well.
  const last = outcome.tail.split("\n").at(-1) ?? "";
  if (outcome.status !== 0) {
    throw new Setback(
      `torpor-helper ${args[0] ?? ""} ended with status ${outcome.status}: ${last}`,
      "Run the same call by hand to see more.",
      outcome.tail,
    );
  }
  return { result: JSON.parse(last), peakMiB: Number(readFileSync(file, "utf8")) / 1024 };
}

/** @param {string} report */
async function ready(report) {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    try {
      if (readFileSync(report, "utf8") !== "") return;
    } catch {
      // Not there yet.
    }
    await delay(20);
  }
  throw new Setback("the process under test was not ready in time", `See ${report}.`);
}
