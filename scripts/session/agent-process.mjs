// Starts the agent of a session and ends it again; an agent that answers already is used and left alone.
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { nodePath } from "../command.mjs";
import { checkout, helperPath } from "../paths.mjs";
import { Setback } from "../setback.mjs";
import { OperatorClient } from "./operator-client.mjs";

/** The agent answers in a fraction of a second; a machine under load gets this long. */
const startLimitMs = 20_000;

/** An operation that is under way is cancelled cleanly first. */
const stopLimitMs = 30_000;

/**
 * @typedef {object} RunningAgent
 * @property {OperatorClient} client
 * @property {boolean} startedHere
 * @property {Promise<void>} ended when it has ended; never for an agent that was there before
 * @property {() => Promise<void>} stop ends it if it was started here
 */

/** @param {string} home */
export function agentSocket(home) {
  return join(home, "run/agent.sock");
}

/**
 * @param {string} home TORPOR_HOME
 * @param {number} operatorUid the user who may use its socket, beside root
 * @returns {Promise<RunningAgent>}
 */
export async function startAgent(home, operatorUid) {
  const existing = await answeringClient(home);
  if (existing !== undefined) {
    return {
      client: existing,
      startedHere: false,
      ended: new Promise(() => {}),
      stop: () => {
        existing.close();
        return Promise.resolve();
      },
    };
  }

  const logFolder = join(home, "lib");
  mkdirSync(logFolder, { recursive: true, mode: 0o700 });
  const logFile = join(logFolder, "agent.log");
  const log = openSync(logFile, "a", 0o600);
  const child = spawn(nodePath(), [join(checkout, "dist/agent/agent.js")], {
    cwd: "/",
    env: {
      ...process.env,
      TORPOR_HOME: home,
      TORPOR_HELPER: helperPath,
      TORPOR_OPERATOR_UID: String(operatorUid),
    },
    stdio: ["ignore", log, log],
    // A session of its own: Ctrl-C reaches this script alone, which then ends things in order.
    detached: true,
  });
  closeSync(log);
  let hasEnded = false;
  const ended = new Promise((/** @type {(value: void) => void} */ resolve) => {
    const done = () => {
      hasEnded = true;
      resolve();
    };
    child.on("exit", done);
    child.on("error", done);
  });

  const deadline = Date.now() + startLimitMs;
  for (;;) {
    const client = await answeringClient(home);
    if (client !== undefined) {
      return { client, startedHere: true, ended, stop: () => stop(client) };
    }
    if (hasEnded || Date.now() > deadline) {
      child.kill("SIGTERM");
      throw new Setback(
        hasEnded ? "the agent ended right after its start" : "the agent does not answer",
        `Its log is ${logFile}`,
        readFileSync(logFile, "utf8").split("\n").slice(-15).join("\n"),
      );
    }
    await delay(20);
  }

  /** @param {OperatorClient} client */
  async function stop(client) {
    client.close();
    if (hasEnded) return;
    child.kill("SIGTERM");
    const waited = new AbortController();
    await Promise.race([
      ended,
      delay(stopLimitMs, undefined, { signal: waited.signal }).catch(() => {}),
    ]);
    waited.abort();
    if (!hasEnded) {
      child.kill("SIGKILL");
      await ended;
    }
  }
}

/** @param {string} home */
async function answeringClient(home) {
  const client = await OperatorClient.open(agentSocket(home));
  if (client === undefined) return undefined;
  try {
    await client.call("system.info");
    return client;
  } catch {
    client.close();
    return undefined;
  }
}
