// An agent on a state folder of the benchmark's own, as a boot starts it: one process, and a client when it answers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { nodePath } from "../scripts/command.mjs";
import { checkout, helperPath } from "../scripts/paths.mjs";
import { agentSocket } from "../scripts/session/agent-process.mjs";
import { OperatorClient } from "../scripts/session/operator-client.mjs";
import { Setback } from "../scripts/setback.mjs";

const limitMs = 120_000;

/** @param {string} home TORPOR_HOME */
export function startAgent(home) {
  return spawn(nodePath(), [join(checkout, "dist/agent/agent.js")], {
    env: { ...process.env, TORPOR_HOME: home, TORPOR_HELPER: helperPath },
    stdio: "ignore",
  });
}

/** @param {string} home TORPOR_HOME */
export async function connected(home) {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    const client = await OperatorClient.open(agentSocket(home));
    if (client !== undefined) return client;
    await delay(5);
  }
  throw new Setback("the agent did not answer", "Run it by hand: npm run agent");
}

/**
 * Sees an operation through.
 * @param {OperatorClient} client
 * @param {string} method
 * @param {Record<string, unknown>} params
 */
export async function operate(client, method, params) {
  let { operation } = await client.call(method, params);
  while (operation.endedAt === null) {
    ({ operation } = await client.call("operations.wait", { operation: operation.id }));
  }
  if (operation.error !== null) {
    throw new Setback(operation.error.message, "The agent's log says more: npm run agent");
  }
}

/** @param {import("node:child_process").ChildProcess} agent ends it; its applications run on */
export async function endAgent(agent) {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  agent.kill("SIGTERM");
  await once(agent, "exit");
}
