// How long does a wake take: to the first instruction, until all memory is there again, and what does a program that
// touches its memory at random notice meanwhile? At the first wake of an image, and at the second, when it is known
// what was touched first. Beside the disk's own speed; the page cache holds nothing of the image.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { callHelper } from "./helper-calls.mjs";
import { forgetCache } from "./page-cache.mjs";
import { compileTarget, targetProgram } from "./targets.mjs";

const sizes = process.env.TORPOR_BENCH_FULL === "1" ? [16, 256, 1024, 4096] : [16, 256, 1024];
const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 5);
const touches = 10_000;
/** All memory against the disk's own reading of as much. */
const residentGoal = 1.25;

const binary = targetProgram("wake_touch");

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "a wake: time to the first instruction and to all memory, and what random touches wait for",
  async measure({ scratch, say }) {
    await compileTarget("wake_touch");
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const megabytes of sizes) {
      for (const each of await measureSize(scratch, megabytes))
        series.push({ ...each, name: `${megabytes} MiB: ${each.name}` });
    }
    say("all times from the start of the helper; all memory: until the pager has ended");
    say(
      `a touch reads one byte of a random page of a sixteenth of the memory; ${touches} of them as soon as the program runs, and as fast as it can where nothing else is said: faster than any disk reads`,
    );
    say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return series;
  },
};

/**
 * @param {string} scratch
 * @param {number} megabytes
 * @returns {Promise<import("./measurement.mjs").Series[]>}
 */
async function measureSize(scratch, megabytes) {
  /** @type {Map<string, import("./measurement.mjs").Series>} */
  const series = new Map();
  /** @param {string} name @param {string} unit @param {number} value @param {number} [goal] */
  const add = (name, unit, value, goal) => {
    const one = series.get(name) ?? {
      name,
      unit,
      values: [],
      ...(goal === undefined ? {} : { goal }),
    };
    one.values.push(value);
    series.set(name, one);
  };
  const place = {
    home: join(scratch, "home"),
    image: join(scratch, `image-${megabytes}.torpor`),
    report: join(scratch, "report"),
    order: join(scratch, "order"),
  };
  const pid = await captured(place, megabytes);
  try {
    for (let round = 0; round < rounds; round++) {
      const disk = await diskRead(place.image);
      add("disk, sequential O_DIRECT read", "ms", disk);

      await rm(`${place.image}.ws`, { force: true });
      const resting = await wake(place, pid, "rest");
      add("first instruction", "ms", resting.firstInstructionMs, 20);
      add("first instruction, as the helper says", "ms", resting.saidMs, 20);
      add("all memory", "ms", resting.residentMs);
      add("all memory, by the disk's own reading", "×", resting.residentMs / disk, residentGoal);

      const paced = [];
      await rm(`${place.image}.ws`, { force: true });
      for (const which of ["first wake", "second wake"]) {
        const [waited] = (await wake(place, pid, "pace")).touched;
        add(
          `${which}, a touch each 500 µs: touches that waited`,
          "%",
          (Number(waited) / touches) * 100,
        );
        paced.push(Number(waited));
      }
      const [first = 0, second = 0] = paced;
      add(
        "touches that waited at the second wake, of those at the first",
        "%",
        (second / Math.max(1, first)) * 100,
        10,
      );

      await rm(`${place.image}.ws`, { force: true });
      for (const which of ["first wake", "second wake"]) {
        const touching = await wake(place, pid, "touch");
        const [waited, median, p99, largest, all] = touching.touched;
        add(`${which}: touches that waited`, "%", (Number(waited) / touches) * 100);
        add(`${which}: a touch, median`, "µs", Number(median) / 1e3);
        add(`${which}: a touch, 99 of 100 are faster`, "µs", Number(p99) / 1e3);
        add(`${which}: a touch, largest`, "µs", Number(largest) / 1e3);
        add(`${which}: all touches`, "ms", Number(all) / 1e6);
        add(`${which}: all memory`, "ms", touching.residentMs);
      }
    }
  } finally {
    end(pid);
    await rm(place.image, { force: true });
    await rm(`${place.image}.ws`, { force: true });
  }
  return [...series.values()];
}

/** @typedef {{home: string, image: string, report: string, order: string}} Place */

/**
 * Leaves an image, and no process.
 * @param {Place} place
 * @param {number} megabytes
 */
async function captured({ home, image, report, order }, megabytes) {
  await rm(report, { force: true });
  await rm(order, { force: true });
  const command = [String(megabytes), report, order];
  const child = spawn(binary, command, { detached: true, stdio: "ignore" });
  child.unref();
  const pid = child.pid ?? 0;
  try {
    await reported(report, "ready");
    await callHelper(["capture", "--pid", String(pid), "--image", image, "--stop"], home);
  } catch (error) {
    end(pid);
    throw error;
  }
  await gone(pid);
  return pid;
}

/**
 * Wakes it, waits until all of its memory is there, and ends it.
 * @param {Place} place
 * @param {number} pid
 * @param {"rest" | "touch" | "pace"} order
 */
async function wake(place, pid, order) {
  await rm(place.report, { force: true });
  await writeFile(place.order, order);
  await forgetCache(place.image);
  const begun = performance.timeOrigin + performance.now();
  const restored = await callHelper(["restore", "--image", place.image, "--in-place"], place.home);
  try {
    while (isPaging(pid)) await delay(1);
    const residentMs = performance.timeOrigin + performance.now() - begun;
    const [woken] = await reported(place.report, "woken");
    const touched = order !== "rest" ? await reported(place.report, "touched") : [];
    return {
      firstInstructionMs: Number(woken) / 1e6 - begun,
      saidMs: Number(restored.firstInstructionMs),
      residentMs,
      touched,
    };
  } finally {
    end(pid);
    await gone(pid);
  }
}

/**
 * Whether the pager of the tree is still there: it listens as long as memory is missing.
 * @param {number} pid
 */
function isPaging(pid) {
  return readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .some((line) => line.includes("@torpor-pager.") && line.endsWith(`.${pid}`));
}

/**
 * Waits for a line; its words behind the first.
 * @param {string} file
 * @param {string} word
 */
async function reported(file, word) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
    const line = lines.map((each) => each.split(" ")).find(([first]) => first === word);
    if (line !== undefined) return line.slice(1);
    if (Date.now() > deadline) {
      throw new Setback(
        `the process under test did not report “${word}” in time`,
        lines.length === 0 ? "It reported nothing." : `It reported:\n${lines.join("\n")}`,
      );
    }
    await delay(2);
  }
}

/** @param {string} file */
async function diskRead(file) {
  await forgetCache(file);
  const begun = performance.now();
  const result = await run(["dd", `if=${file}`, "of=/dev/null", "bs=4M", "iflag=direct"]);
  const took = performance.now() - begun;
  if (result.status !== 0) throw new Setback("dd could not read", "See above.", result.tail);
  return took;
}

/** @param {number} pid waits until its number is free again */
async function gone(pid) {
  for (let tries = 0; tries < 4000 && existsSync(`/proc/${pid}`); tries++) await delay(5);
}

/** @param {number} pid */
function end(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
