/**
 * Tells systemd, where it started the agent, that the agent is ready, alive and about to end. Its socket is
 * of a kind that Node can't send to, so systemd's own systemd-notify does it. Elsewhere all of this does
 * nothing.
 */
import { spawn } from "node:child_process";
import type { Logger } from "../log.js";

/** A message is sent at once or never. */
const SEND_TIMEOUT_MS = 10_000;

export class ServiceManager {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Logger;
  #watchdog: NodeJS.Timeout | null = null;

  constructor(environment: NodeJS.ProcessEnv, log: Logger) {
    this.#environment = environment;
    this.#log = log;
  }

  get isThere(): boolean {
    return (this.#environment.NOTIFY_SOCKET ?? "") !== "";
  }

  /** From here on a missing sign of life is a reason to start the agent anew. */
  async ready(status: string): Promise<void> {
    await this.#send("READY=1", `STATUS=${status}`);
    const intervalMs = this.#watchdogMs();
    if (intervalMs !== null) {
      this.#watchdog = setInterval(() => void this.#send("WATCHDOG=1"), intervalMs);
    }
  }

  async stopping(): Promise<void> {
    clearInterval(this.#watchdog ?? undefined);
    this.#watchdog = null;
    await this.#send("STOPPING=1");
  }

  /** A third of the time that systemd waits: two signs of life may be late. Null without a watchdog. */
  #watchdogMs(): number | null {
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = this.#environment;
    const milliseconds = Number(usec ?? 0) / 1000 / 3;
    const ours = pid === undefined || pid === "" || Number(pid) === process.pid;
    return ours && milliseconds > 0 ? Math.max(100, milliseconds) : null;
  }

  async #send(...messages: string[]): Promise<void> {
    if (!this.isThere) {
      return;
    }
    await new Promise<void>((resolve) => {
      const child = spawn("systemd-notify", messages, {
        env: this.#environment,
        stdio: "ignore",
        timeout: SEND_TIMEOUT_MS,
        killSignal: "SIGKILL",
      });
      child.once("error", (error) => {
        this.#log.warn({ error: error.message }, "systemd could not be told of the agent's state");
        resolve();
      });
      child.once("exit", () => {
        resolve();
      });
    });
  }
}
