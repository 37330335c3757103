// How soon after the agent's start, as at a boot, do hibernated applications run again? Beside what they need for
// a cold start. The page cache holds nothing of the images.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

import { prepareHome } from "../scripts/session/state-home.mjs";
import { Setback } from "../scripts/setback.mjs";
import { connected, endAgent, operate, startAgent } from "./benched-agent.mjs";
import { endCapsule } from "./gap-watch.mjs";
import { forgetCache } from "./page-cache.mjs";
import { compileTarget, targetProgram } from "./targets.mjs";

const rounds = 7;
const sizes = [16, 512];
const crowd = { applications: 20, megabytes: 16 };
const limitMs = 60_000;
const binary = targetProgram("wake_watch");

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "hibernated applications: from the agent's start to their first instruction, beside a cold start",
  async measure({ scratch, say }) {
    await compileTarget("wake_watch");
    /** @type {import("./measurement.mjs").Series[]} */
    const series = [];
    for (const megabytes of sizes) {
      const cold = [];
      for (let round = 0; round < rounds; round++) cold.push(await coldStart(scratch, megabytes));
      const woken = await wakes(join(scratch, `home-${megabytes}`), 1, megabytes);
      series.push(
        {
          name: `${megabytes} MB: agent's start to first instruction`,
          unit: "ms",
          values: woken.map(firstOf),
        },
        { name: `${megabytes} MB: the program's own cold start`, unit: "ms", values: cold },
      );
    }
    const { applications, megabytes } = crowd;
    const woken = await wakes(join(scratch, "home-crowd"), applications, megabytes);
    const what = `${applications} of ${megabytes} MB: agent's start to`;
    series.push(
      { name: `${what} the first one's first instruction`, unit: "ms", values: woken.map(firstOf) },
      { name: `${what} the last one's`, unit: "ms", values: woken.map((all) => Math.max(...all)) },
    );
    say(
      "The agent's own start (a node process, its catalog, its socket) is part of it. A cold start is the bare program, which only fills its memory: a real one has files to read and work to do.",
    );
    say(`Load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return series;
  },
};

/** @param {number[]} all */
function firstOf(all) {
  return Math.min(...all);
}

/** Milliseconds since 1970, in fractions. */
function now() {
  return performance.timeOrigin + performance.now();
}

/**
 * The program by itself.
 * @param {string} scratch
 * @param {number} megabytes
 */
async function coldStart(scratch, megabytes) {
  const report = join(scratch, "cold");
  rmSync(report, { force: true });
  const begun = now();
  const child = spawn(binary, [String(megabytes), report], { stdio: "ignore" });
  try {
    return (await saidAfter(report, "ready", begun)) - begun;
  } finally {
    child.kill("SIGKILL");
  }
}

/**
 * Hibernates as a shutdown does, and starts the agent as a boot does, several times.
 * @param {string} home
 * @param {number} count applications
 * @param {number} megabytes of each
 * @returns {Promise<number[][]>} by round, the milliseconds of each application
 */
async function wakes(home, count, megabytes) {
  await prepareHome(home);
  mkdirSync(join(home, "apps.d"), { recursive: true });
  const apps = Array.from({ length: count }, (_, index) => `woken-${index}`);
  /** @param {string} app */
  const reportOf = (app) => join(home, `${app}.report`);
  for (const app of apps) {
    const command = JSON.stringify([binary, String(megabytes), reportOf(app)]);
    writeFileSync(
      join(home, "apps.d", `${app}.toml`),
      `command = ${command}\ncwd = "/"\nstop-grace = "1s"\n[capture]\nat-shutdown = true\n[keep]\npolicy = "replace"\n`,
    );
  }
  let agent = startAgent(home);
  let client = await connected(home);
  try {
    const begun = now();
    for (const app of apps) await operate(client, "applications.start", { app });
    for (const app of apps) await saidAfter(reportOf(app), "ready", begun - limitMs);
    /** @type {number[][]} */
    const rows = [];
    for (let round = 0; round < rounds; round++) {
      const { applications } = await client.call("hibernate.marked");
      const problem = applications.find(
        (/** @type {{problem: string | null}} */ each) => each.problem !== null,
      );
      if (problem !== undefined)
        throw new Setback(problem.problem, "Run it again on a quiet machine.");
      const { images } = await client.call("images.list");
      client.close();
      await endAgent(agent);
      for (const { path } of images) await forgetCache(path);
      // A step of its clock tells a program that it was asleep.
      await delay(300);

      const started = now();
      agent = startAgent(home);
      const row = [];
      for (const app of apps)
        row.push((await saidAfter(reportOf(app), "woken", started)) - started);
      rows.push(row);
      client = await connected(home);
      await settled(client, apps);
    }
    return rows;
  } finally {
    const { applications } = await client.call("applications.list");
    client.close();
    await endAgent(agent);
    for (const { life } of applications) if (life !== null) await endCapsule(life.initPid);
  }
}

/**
 * Their programs may run before the agent has done the last of its work.
 * @param {import("../scripts/session/operator-client.mjs").OperatorClient} client
 * @param {string[]} apps
 */
async function settled(client, apps) {
  for (const app of apps) {
    for (const deadline = Date.now() + limitMs; Date.now() < deadline; await delay(10)) {
      const { application } = await client.call("applications.get", { app });
      if (application.state === "running" && application.operationId === null) break;
    }
  }
}

/**
 * When the program has said so, in milliseconds since 1970.
 * @param {string} report
 * @param {string} word
 * @param {number} after what it said before is of an earlier round
 */
async function saidAfter(report, word, after) {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    for (const line of linesOf(report)) {
      const [said, at] = line.split(" ");
      const milliseconds = Number(at) / 1e6;
      if (said === word && milliseconds >= after) return milliseconds;
    }
    await delay(5);
  }
  throw new Setback("the process under test did not report in time", `See ${report}.`);
}

/** @param {string} report */
function linesOf(report) {
  try {
    return readFileSync(report, "utf8").split("\n");
  } catch {
    return [];
  }
}
