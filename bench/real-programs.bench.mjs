// What compression does to the memory of real programs: redis with records, and a Java virtual machine with a full
// heap. Turn by turn: not compressed, LZ4, zstd; the time until the image is durable, and its size.
import { spawn } from "node:child_process";
import { open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { checkout } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";
import { callHelper } from "./helper-calls.mjs";

const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);
const redisRecords = 800_000;
const javaMegabytes = 256;
const startLimitMs = 120_000;
const compressions = ["none", "lz4", "zstd"];

/** @typedef {{name: string, start: (scratch: string) => Promise<import("node:child_process").ChildProcess>}} Program */

/** @type {Program[]} */
const programs = [
  { name: "redis, 500 MB", start: startRedis },
  { name: `Java, ${javaMegabytes} MB of heap in use`, start: startJava },
];

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: "redis and a Java virtual machine: pause, time to durable and size, compressed and not",
  async measure({ scratch, say }) {
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const program of programs) {
      const child = await program.start(scratch);
      try {
        series.push(...(await compare(program.name, child.pid ?? 0, scratch)));
      } finally {
        child.kill("SIGKILL");
      }
    }
    say("the program runs on, with no load of its own; each round takes every compression in turn");
    return series;
  },
};

/**
 * @param {string} name
 * @param {number} pid
 * @param {string} scratch
 */
async function compare(name, pid, scratch) {
  /** @type {Map<string, import("./measurement.mjs").Series>} */
  const series = new Map();
  /** @param {string} what @param {string} unit @param {number} value */
  const add = (what, unit, value) => {
    const one = series.get(what) ?? { name: `${name}: ${what}`, unit, values: [] };
    one.values.push(value);
    series.set(what, one);
  };
  const image = join(scratch, "image.torpor");
  for (let round = 0; round < rounds; round++) {
    for (const compression of compressions) {
      const begun = performance.now();
      const result = await callHelper(
        ["capture", "--pid", String(pid), "--image", image, "--compress", compression],
        join(scratch, "home"),
      );
      add(`durable, ${compression}`, "ms", performance.now() - begun);
      add(`pause, ${compression}`, "ms", Number(result.pauseMs));
      add(`image, ${compression}`, "MB", (await stat(image)).size / 1e6);
      await rm(image);
    }
  }
  return [...series.values()];
}

/** @param {string} scratch */
async function startRedis(scratch) {
  const socket = join(scratch, "redis.sock");
  const child = await startQuietly(
    scratch,
    "redis-server",
    ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", scratch],
    "accept connections",
  );
  const cli = spawn("redis-cli", ["-s", socket, "--pipe"], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  const filled = new Promise((resolve) => cli.on("exit", resolve));
  for (let n = 0; n < redisRecords; n++) {
    if (!cli.stdin.write(record(n)))
      await new Promise((resolve) => cli.stdin.once("drain", resolve));
  }
  cli.stdin.end();
  if ((await filled) !== 0) {
    child.kill("SIGKILL");
    throw new Setback("redis could not be filled", "See above.");
  }
  return child;
}

/**
 * A SET of an invented patient's record.
 * @param {number} n
 */
function record(n) {
  const key = `patient:${n}`;
  const value = JSON.stringify({
    id: (n * 2_654_435_761) % 4_294_967_296,
    name: `Patient ${n % 9973}`,
    ward: `ward ${n % 17}`,
    admitted: new Date(1_700_000_000_000 + n * 61_000).toISOString(),
    readings: Array.from({ length: 12 }, (_, i) => ({
      pulse: 50 + ((n * 31 + i * 17) % 70),
      temperature: 36 + ((n + i * 7) % 40) / 10,
    })),
  });
  return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`;
}

/** @param {string} scratch */
async function startJava(scratch) {
  const compiled = await run(["javac", "-d", scratch, join(checkout, "bench/targets/Ward.java")]);
  if (compiled.status !== 0) {
    throw new Setback("bench/targets/Ward.java could not be compiled", "See below.", compiled.tail);
  }
  const args = ["-Xmx512m", "-XX:+UseG1GC", "-cp", scratch, "Ward", String(javaMegabytes)];
  return await startQuietly(scratch, "java", args, "ready");
}

/**
 * Starts a program whose words go to a file: a pipe of ours would be a connection to outside its tree.
 * @param {string} scratch
 * @param {string} name
 * @param {string[]} args
 * @param {string} words what it says when it is ready
 */
async function startQuietly(scratch, name, args, words) {
  const said = join(scratch, `${name}.log`);
  const log = await open(said, "w");
  const child = spawn(name, args, { stdio: ["ignore", log.fd, log.fd], detached: true });
  /** @type {Error | undefined} */
  let failed;
  child.on("error", (error) => (failed = error));
  await log.close();
  const deadline = Date.now() + startLimitMs;
  while (!(await readFile(said, "utf8")).includes(words)) {
    if (failed !== undefined || child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Setback(
        `${name} did not say “${words}”`,
        "Is it installed? npm test installs it.",
        failed?.message ?? (await readFile(said, "utf8")),
      );
    }
    await delay(20);
  }
  return child;
}
