// How long does an application of 16 MB wait for its own checkpoint, from the call to "saved"?
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { checkout } from "../scripts/paths.mjs";
import { prepareHome } from "../scripts/session/state-home.mjs";
import { Setback } from "../scripts/setback.mjs";
import { connected, endAgent, startAgent } from "./benched-agent.mjs";
import { endCapsule } from "./gap-watch.mjs";
import { compileTarget } from "./targets.mjs";

const megabytes = 16;
const rounds = 25;
const limitMs = 120_000;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: `a process of ${megabytes} MB: its own checkpoint, from the call to “saved”`,
  async measure({ scratch, say }) {
    const library = join(checkout, "clients/c");
    const program = await compileTarget("asking", {
      sources: [join(library, "torpor.c")],
      flags: [`-I${library}`],
    });
    const home = join(scratch, "home");
    await prepareHome(home);
    mkdirSync(join(home, "apps.d"), { recursive: true });
    const report = join(scratch, "report");
    writeFileSync(
      join(home, "apps.d/asking.toml"),
      `command = ${JSON.stringify([program, String(megabytes), String(rounds), report])}\ncwd = "/"\n`,
    );
    const agent = startAgent(home);
    let initPid = 0;
    try {
      const client = await connected(home);
      const { operation } = await client.call("applications.start", { app: "asking" });
      await client.call("operations.wait", { operation: operation.id });
      const { application } = await client.call("applications.get", { app: "asking" });
      initPid = application.life?.initPid ?? 0;
      const lines = await reported(report);
      client.close();
      say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
      // The first one warms the caches.
      const values = lines.slice(1).map((line) => line.split(" ").map(Number));
      return [
        {
          name: "call to “saved”, as the application saw it",
          unit: "ms",
          values: values.map(([roundTrip]) => roundTrip ?? Number.NaN),
        },
        {
          name: "of that, pause",
          unit: "ms",
          values: values.map(([, pause]) => pause ?? Number.NaN),
          goal: 10,
        },
        {
          name: "a heartbeat and its answer",
          unit: "ms",
          values: values.map(([, , heartbeat]) => heartbeat ?? Number.NaN),
        },
      ];
    } finally {
      if (initPid > 0) await endCapsule(initPid);
      await endAgent(agent);
    }
  },
};

/** @param {string} report */
async function reported(report) {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    try {
      const lines = readFileSync(report, "utf8").split("\n").filter(Boolean);
      if (lines.length === rounds) return lines;
    } catch {
      // Not there yet.
    }
    await delay(50);
  }
  throw new Setback("the process under test did not report in time", `See ${report}.`);
}
