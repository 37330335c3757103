/** An application's terminal as a test uses it: type, and wait for what is to be seen. */
import type { AgentClient } from "../../../electron/contract/client.js";
import { setTimeout as delay } from "node:timers/promises";

const TIMEOUT_MS = 15_000;

/** CSI, OSC, character sets, and the short ones. */
const escapeSequence = new RegExp(
  [
    String.raw`\x1b\[[0-9;?]*[ -/]*[@-~]`,
    String.raw`\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)`,
    String.raw`\x1b[()][A-Z0-9]`,
    String.raw`\x1b[=>78cDEHM]`,
  ].join("|"),
  "g",
);

export class TestTerminal {
  readonly id: string;
  readonly #client: AgentClient;
  #text: string;
  readonly snapshots: string[];
  #closedReason: string | null = null;

  private constructor(
    client: AgentClient,
    id: string,
    seen: { text: string; snapshots: string[] },
  ) {
    this.#client = client;
    this.id = id;
    this.#text = seen.text;
    this.snapshots = seen.snapshots;
  }

  static async open(client: AgentClient, app: string): Promise<TestTerminal> {
    // The first screen comes before the answer.
    const seen = { text: "", snapshots: [] as string[] };
    let terminal: TestTerminal | null = null;
    client.on("terminal.output", (event) => {
      if (terminal !== null && event.terminal !== terminal.id) {
        return;
      }
      const text = Buffer.from(event.data, "base64").toString("utf8");
      const before = terminal === null ? seen.text : terminal.#text;
      const all = event.kind === "snapshot" ? text : before + text;
      if (event.kind === "snapshot") {
        seen.snapshots.push(text);
      }
      if (terminal === null) {
        seen.text = all;
      } else {
        terminal.#text = all;
      }
    });
    client.on("terminal.closed", (event) => {
      if (terminal !== null && event.terminal === terminal.id) {
        terminal.#closedReason = event.reason;
      }
    });
    const opened = await client.call("terminal.open", { app, cols: 100, rows: 30 });
    terminal = new TestTerminal(client, opened.terminal, seen);
    return terminal;
  }

  /** What the screen shows, escape sequences taken out. */
  get text(): string {
    return this.#text.replaceAll(escapeSequence, "");
  }

  get closedReason(): string | null {
    return this.#closedReason;
  }

  async type(text: string): Promise<void> {
    await this.#client.call("terminal.input", {
      terminal: this.id,
      data: Buffer.from(text).toString("base64"),
    });
  }

  /** Waits until the screen shows it; returns the match. */
  async shows(pattern: RegExp, timeoutMs = TIMEOUT_MS): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.text);
      if (match !== null) {
        return match;
      }
      if (Date.now() > deadline) {
        throw new Error(
          `the terminal does not show ${String(pattern)} but:\n${this.text.slice(-2000)}`,
        );
      }
      await delay(20);
    }
  }

  /** Types a command for a shell and waits for what its output has of `pattern`. */
  async ask(command: string, pattern: RegExp): Promise<RegExpExecArray> {
    await this.type(`${command}\r`);
    return this.shows(pattern);
  }

  close(): Promise<unknown> {
    return this.#client.call("terminal.close", { terminal: this.id });
  }
}
