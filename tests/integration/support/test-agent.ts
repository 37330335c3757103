/**
 * A real agent with a real helper on a folder of its own, and everything that a test needs around it:
 * a client, the CLI, and the certainty that nothing is left when the test has ended, however it ended.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { AgentClient } from "../../../electron/contract/client.js";
import type {
  ApplicationRecord,
  ImageRecord,
  OperationRecord,
} from "../../../electron/contract/index.js";

const checkout = fileURLToPath(new URL("../../..", import.meta.url));
const agentProgram = join(checkout, "dist/agent/agent.js");
const cliProgram = join(checkout, "dist/cli/torpor.js");
export const helperProgram =
  process.env.TORPOR_HELPER ?? join(checkout, "native-helpers/target/release/torpor-helper");

const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 20_000;

export interface CliResult {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

export class TestAgent {
  /** Not in /tmp: a capsule has a /tmp of its own, and could not see it. */
  readonly home: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #mounts: string[] = [];
  #process: ChildProcess | null = null;
  #log = "";
  #client: AgentClient | null = null;

  private constructor(home: string) {
    this.home = home;
    this.#environment = {
      ...process.env,
      TORPOR_HOME: home,
      TORPOR_HELPER: helperProgram,
      TORPOR_LOG: "debug",
      NO_COLOR: "1",
    };
  }

  /** Applications by id, each as the text of its file. */
  static create(applications: Readonly<Record<string, string>>, settings?: string): TestAgent {
    for (const program of [agentProgram, cliProgram, helperProgram]) {
      if (!existsSync(program)) {
        throw new Error(`${program} is not built; run: npm run setup`);
      }
    }
    const agent = new TestAgent(mkdtempSync("/var/tmp/torpor-test-"));
    mkdirSync(join(agent.home, "apps.d"));
    for (const [id, text] of Object.entries(applications)) {
      agent.writeApplication(id, text);
    }
    if (settings !== undefined) {
      writeFileSync(join(agent.home, "agent.toml"), settings.replaceAll("HOME", agent.home));
    }
    return agent;
  }

  writeApplication(id: string, text: string): void {
    writeFileSync(join(this.home, "apps.d", `${id}.toml`), text);
  }

  /** Starts the agent's process and connects to it. */
  async up(): Promise<this> {
    const child = spawn(process.execPath, [agentProgram], {
      env: this.#environment,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-200_000);
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        this.#client = await AgentClient.connect(this.socket);
        await this.#client.call("system.info", {});
        return this;
      } catch (error) {
        if (child.exitCode !== null || Date.now() > deadline) {
          throw new Error(`the agent did not start: ${this.#log}`, { cause: error });
        }
        await delay(20);
      }
    }
  }

  get socket(): string {
    return join(this.home, "run/agent.sock");
  }

  get store(): string {
    return join(this.home, "lib/store");
  }

  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get client(): AgentClient {
    if (this.#client === null) {
      throw new Error("the agent is down");
    }
    return this.#client;
  }

  /** SIGTERM, as an admin would, or SIGKILL, as fate would. */
  async down(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#client?.close();
    this.#client = null;
    const child = this.#process;
    this.#process = null;
    if (child?.exitCode !== null || child.signalCode !== null) {
      return;
    }
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  async application(id: string): Promise<ApplicationRecord> {
    return (await this.client.call("applications.get", { app: id })).application;
  }

  async images(id: string): Promise<ImageRecord[]> {
    return (await this.client.call("images.list", { app: id })).images;
  }

  /** Waits for an operation's end, whatever it is. */
  async ended(begun: Promise<{ operation: OperationRecord }>): Promise<OperationRecord> {
    return this.client.waitFor((await begun).operation.id);
  }

  /** Waits for an operation's end, and takes anything but success for a failure of the test. */
  async done(begun: Promise<{ operation: OperationRecord }>): Promise<OperationRecord> {
    const record = await this.ended(begun);
    if (record.state !== "succeeded") {
      throw new Error(
        `${record.kind} ${record.state}: ${record.error?.message ?? ""}\n${this.#log.slice(-3000)}`,
      );
    }
    return record;
  }

  /** Waits until an application without a terminal has printed this. */
  async logShows(id: string, pattern: RegExp): Promise<void> {
    const { life } = await this.application(id);
    const file = join(this.home, "run/capsules", life?.capsuleId ?? "", "output.log");
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!existsSync(file) || !pattern.test(readFileSync(file, "utf8"))) {
      if (Date.now() > deadline) {
        throw new Error(`${file} does not show ${String(pattern)}`);
      }
      await delay(20);
    }
  }

  cli(...args: string[]): CliResult {
    const result = spawnSync(process.execPath, [cliProgram, ...args], {
      env: this.#environment,
      encoding: "utf8",
      timeout: 60_000,
    });
    return { status: result.status, out: result.stdout, error: result.stderr };
  }

  /** What a pseudo-terminal needs for starting the CLI itself. */
  cliCommand(...args: string[]): { file: string; args: string[]; environment: NodeJS.ProcessEnv } {
    return { file: process.execPath, args: [cliProgram, ...args], environment: this.#environment };
  }

  /** A small volume of its own at a folder below home; unmounted with everything else. */
  mountVolume(name: string, options: string): string {
    const folder = join(this.home, name);
    mkdirSync(folder, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]);
    this.#mounts.push(folder);
    return folder;
  }

  remountVolume(folder: string, options: string): void {
    execFileSync("mount", ["-o", `remount,${options}`, folder]);
  }

  unmountVolume(folder: string): void {
    execFileSync("umount", [folder]);
    this.#mounts.splice(this.#mounts.indexOf(folder), 1);
  }

  /** Ends the agent and all that it runs, and removes the folder. */
  async destroy(): Promise<void> {
    await this.down("SIGTERM");
    const capsules = join(this.home, "run/capsules");
    for (const id of existsSync(capsules) ? readdirSync(capsules) : []) {
      await endCapsule(join(capsules, id, "capsule.json"));
    }
    for (const folder of [...this.#mounts]) {
      spawnSync("umount", ["-l", folder]);
    }
    // What a capsule's end leaves behind goes a moment after it.
    for (let tries = 0; ; tries++) {
      try {
        rmSync(this.home, { recursive: true, force: true });
        return;
      } catch (error) {
        if (tries === 50) {
          throw error;
        }
        await delay(50);
      }
    }
  }
}

/** Kills a capsule and takes its cgroup away, which nobody else does for one that is killed. */
async function endCapsule(file: string): Promise<void> {
  let capsule: { initPid: number; cgroup: string | null };
  try {
    capsule = JSON.parse(readFileSync(file, "utf8")) as typeof capsule;
    process.kill(capsule.initPid, "SIGKILL");
  } catch {
    // It has ended.
    return;
  }
  for (let tries = 0; tries < 200 && !hasEnded(capsule.initPid); tries++) {
    await delay(20);
  }
  if (capsule.cgroup !== null) {
    const group = dirname(capsule.cgroup);
    for (const folder of [capsule.cgroup, join(group, "init"), group]) {
      spawnSync("rmdir", [folder]);
    }
  }
}

/** A process' state letter in /proc, or null when there is no such process. */
export function processState(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.charAt(stat.lastIndexOf(")") + 2);
  } catch {
    return null;
  }
}

/** Gone, or waiting to be reaped: the machine's PID 1 takes its time with orphans. */
export function hasEnded(pid: number): boolean {
  const state = processState(pid);
  return state === null || state === "Z" || state === "X";
}
