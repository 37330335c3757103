/**
 * The clients' example servers, as a test sees them: one line a request, and an answer that says how many
 * requests the process remembers and how often it was restored.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import type { TestAgent } from "./test-agent.js";

export const clients = fileURLToPath(new URL("../../../clients", import.meta.url));
const TIMEOUT_MS = 30_000;

/** Compiles a program of clients/c with its library, warnings being errors; where a capsule can see it. */
export function compile(agent: TestAgent, source: string): string {
  const folder = join(agent.home, "bin");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, source.replace(/\.c$/, ""));
  execFileSync(
    "cc",
    ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"].concat([
      "-o",
      program,
      source,
      "torpor.c",
    ]),
    { cwd: join(clients, "c"), stdio: ["ignore", "inherit", "inherit"] },
  );
  return program;
}

export interface Counted {
  readonly requests: number;
  readonly restored: number;
}

async function requestOnce(path: string): Promise<Counted> {
  const socket = connect(path);
  let text = "";
  await new Promise<void>((resolve, reject) => {
    socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    socket.on("error", reject);
    socket.setTimeout(TIMEOUT_MS, () => {
      socket.destroy(new Error(`${path} accepted a request and never answered it`));
    });
    socket.on("close", () => {
      resolve();
    });
    socket.write("request\n");
  });
  const match = /^(\d+) (\d+)\n$/.exec(text);
  if (match === null) {
    throw new Error(`answered ${JSON.stringify(text)}`);
  }
  return { requests: Number(match[1]), restored: Number(match[2]) };
}

/** One request; waits for a server that is about to listen. */
export async function request(path: string): Promise<Counted> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await requestOnce(path);
    } catch (error) {
      if (Date.now() > deadline) {
        throw error;
      }
      await delay(20);
    }
  }
}

/** Kills the application with everything in its capsule, as an out-of-memory killer would, and waits. */
export async function killed(agent: TestAgent, app: string): Promise<void> {
  process.kill((await agent.application(app)).life?.initPid ?? 0, "SIGKILL");
  const deadline = Date.now() + TIMEOUT_MS;
  while ((await agent.application(app)).state === "running") {
    if (Date.now() > deadline) {
      throw new Error(`${app} was killed and still runs`);
    }
    await delay(20);
  }
}
