// Redis with records, and a Java virtual machine with a full heap, each watched from within its tree. Turn by turn:
// not compressed, LZ4, zstd, and CRIU: the pause, the time until the image is durable, its size, and the time to the
// first instruction.
import { spawn } from "node:child_process";
import { open, readFile, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { run } from "../scripts/command.mjs";
import { checkout } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";
import { bringCriu } from "./criu.mjs";
import { captureOnce, criu, end, gone, torpor, wakeOnce } from "./engines.mjs";
import { gapsIn, reportedBy, startDetachedGapWatch } from "./gap-watch.mjs";
import { compileTarget } from "./targets.mjs";

const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);
const redisRecords = 800_000;
const javaMegabytes = 256;
const startLimitMs = 120_000;
const compressions = ["none", "lz4", "zstd"];

/** @typedef {{pid: number, reportFile: string}} Started */
/** @typedef {{name: string, start: (scratch: string) => Promise<Started>}} Program */

/** @type {Program[]} */
const programs = [
  { name: "redis, 500 MB", start: startRedis },
  { name: `Java, ${javaMegabytes} MB of heap in use`, start: startJava },
];

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "redis and a Java virtual machine: pause, time to durable, size and first instruction, compressed and not, beside CRIU",
  async measure({ scratch, say }) {
    await compileTarget("gap_watch");
    const peer = criu(scratch, await bringCriu());
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const program of programs) {
      const started = await program.start(scratch);
      try {
        series.push(...(await compare(program.name, started, scratch, peer)));
      } finally {
        end(started.pid);
        await gone(started.pid);
      }
    }
    say("the program runs on, with no load of its own; each round takes every compression in turn");
    say("all processors busy: the least that lz4 could take if the disk took no time at all");
    say("pause: the largest gap in the clock of a process of the same tree, which sleeps else");
    return series;
  },
};

/**
 * @param {string} name
 * @param {Started} started
 * @param {string} scratch
 * @param {import("./engines.mjs").Engine} peer
 */
async function compare(name, { pid, reportFile }, scratch, peer) {
  /** @type {Map<string, import("./measurement.mjs").Series>} */
  const series = new Map();
  /** @param {string} what @param {string} unit @param {number} value @param {number} [goal] */
  const add = (what, unit, value, goal) => {
    const one = series.get(what) ?? {
      name: `${name}: ${what}`,
      unit,
      values: [],
      ...(goal === undefined ? {} : { goal }),
    };
    one.values.push(value);
    series.set(what, one);
  };
  const ways = compressions.map((compress) => ({
    way: compress,
    engine: torpor(scratch, compress),
  }));
  for (let round = 0; round < rounds; round++) {
    /** @type {Map<string, {durableMs: number, sizeMb: number, processorMs: number | undefined}>} */
    const taken = new Map();
    for (const { way, engine } of [...ways, { way: "CRIU", engine: peer }]) {
      const captured = await captureUnwatched(engine, pid, reportFile);
      taken.set(way, captured);
      add(`durable, ${way}`, "ms", captured.durableMs);
      add(`pause, ${way}`, "ms", (await captureOnce(engine, pid, reportFile)).pauseMs);
      add(`image, ${way}`, "MB", captured.sizeMb);
    }
    const [plain, lz4] = [taken.get("none"), taken.get("lz4")];
    if (plain === undefined || lz4 === undefined) continue;
    add("durable, lz4, of none's", "%", (lz4.durableMs / plain.durableMs) * 100, 100);
    add("image, lz4, of none's", "%", (lz4.sizeMb / plain.sizeMb) * 100, 50);
    if (lz4.processorMs === undefined) continue;
    const allBusyMs = lz4.processorMs / availableParallelism();
    add("all processors busy with lz4, of durable, none", "%", (allBusyMs / plain.durableMs) * 100);
  }
  // After the captures: what has just been woken is still being read, and a capture would wait for that.
  for (let round = 0; round < rounds; round++) {
    for (const { way, engine } of ways.filter(({ way }) => way !== "zstd"))
      add(`first instruction, ${way}`, "ms", await wakeOnce(engine, pid, reportFile));
  }
  // At last, since it puts what it restores into a time namespace, out of which no other engine captures.
  for (let round = 0; round < rounds; round++)
    add("first instruction, CRIU", "ms", await wakeOnce(peer, pid, reportFile));
  return [...series.values()];
}

/**
 * The watch takes a whole processor, which a compressor would have: it is stopped meanwhile.
 * @param {import("./engines.mjs").Engine} engine
 * @param {number} pid
 * @param {string} reportFile
 */
async function captureUnwatched(engine, pid, reportFile) {
  const reported = gapsIn(reportFile).length;
  process.kill(pid, "SIGSTOP");
  try {
    return await captureOnce(engine, pid, reportFile);
  } finally {
    process.kill(pid, "SIGCONT");
    // It has seen this as a gap, which is not to be taken for that of the next capture.
    await reportedBy(reportFile, () => gapsIn(reportFile).length > reported);
  }
}

/** @param {string} scratch */
async function startRedis(scratch) {
  const socket = join(scratch, "redis.sock");
  const options = `--port 0 --unixsocket ${socket} --appendonly no --dir ${scratch}`.split(" ");
  const command = ["redis-server", ...options, "--save", ""];
  const started = await startQuietly(scratch, command, "accept connections");
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
    end(started.pid);
    throw new Setback("redis could not be filled", "See above.");
  }
  return started;
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
  const options = ["-Xmx512m", "-XX:+UseG1GC", "-XX:-UsePerfData", "-cp", scratch];
  return await startQuietly(scratch, ["java", ...options, "Ward", String(javaMegabytes)], "ready");
}

/**
 * Starts a program below a watch. Its words go to a file: a pipe of ours would be a connection to outside its tree.
 * @param {string} scratch
 * @param {string[]} command
 * @param {string} words what it says when it is ready
 * @returns {Promise<Started>}
 */
async function startQuietly(scratch, command, words) {
  const name = command[0] ?? "";
  const said = join(scratch, `${name}.log`);
  const reportFile = join(scratch, `${name}.report`);
  await rm(reportFile, { force: true });
  const log = await open(said, "w");
  const shape = /** @type {const} */ ({ megabytes: 0, pages: "small" });
  const { pid } = await startDetachedGapWatch(shape, reportFile, { command, log: log.fd });
  await log.close();
  const deadline = Date.now() + startLimitMs;
  while (!(await readFile(said, "utf8")).includes(words)) {
    if (Date.now() > deadline) {
      end(pid);
      throw new Setback(
        `${name} did not say “${words}”`,
        "Is it installed? npm test installs it.",
        await readFile(said, "utf8"),
      );
    }
    await delay(20);
  }
  return { pid, reportFile };
}
