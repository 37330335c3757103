// How soon after its start does the agent answer?
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { nodePath } from "../scripts/command.mjs";
import { checkout, helperPath } from "../scripts/paths.mjs";
import { agentSocket } from "../scripts/session/agent-process.mjs";
import { OperatorClient } from "../scripts/session/operator-client.mjs";
import { prepareHome } from "../scripts/session/state-home.mjs";
import { Setback } from "../scripts/setback.mjs";

const rounds = 15;
const limitMs = 10_000;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: "the agent: from its start to its first answer",
  async measure({ scratch }) {
    /** @type {number[]} */
    const seen = [];
    /** @type {number[]} */
    const said = [];
    const home = join(scratch, "home");
    await prepareHome(home);
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      const agent = spawn(nodePath(), [join(checkout, "dist/agent/agent.js")], {
        env: { ...process.env, TORPOR_HOME: home, TORPOR_HELPER: helperPath },
        stdio: "ignore",
      });
      try {
        const info = await firstAnswer(home);
        // The first round creates the catalog, and warms the caches; it is not what a boot sees.
        if (round > 0) {
          seen.push(performance.now() - started);
          said.push(info.readyMs);
        }
      } finally {
        agent.kill("SIGTERM");
        if (agent.exitCode === null && agent.signalCode === null) await once(agent, "exit");
      }
    }
    return [
      { name: "start to first answer, as a client saw it", unit: "ms", values: seen, goal: 300 },
      { name: "start to open socket, as the agent says", unit: "ms", values: said, goal: 300 },
    ];
  },
};

/** @param {string} home */
async function firstAnswer(home) {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    const client = await OperatorClient.open(agentSocket(home));
    if (client !== undefined) {
      const info = await client.call("system.info");
      client.close();
      return info;
    }
    await delay(2);
  }
  throw new Setback("the agent did not answer within 10 s", "Run it by hand: npm run agent");
}
