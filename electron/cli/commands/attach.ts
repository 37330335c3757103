/** `torpor attach APP`: an application's terminal on this one. */
import { fail, MAX_TERMINAL_INPUT_BYTES, type EventPayload } from "../../contract/index.js";
import type { AgentClient } from "../../contract/client.js";
import { argument, flag, textOption, type Command } from "../command.js";
import { parseKey, type Key } from "../key-name.js";

const DEFAULT_DETACH_KEY = "ctrl-]";
/** Beyond this much unsent input, reading waits: the agent or the application is slower than the paste. */
const MAX_QUEUED_BYTES = 1024 * 1024;

/** Everything that an application may have switched on and that the shell after it must not find. */
const TERMINAL_RESET = [
  "\x1b[?1049l", // alternate screen
  "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l", // mouse and focus reports
  "\x1b[?2004l", // bracketed paste
  "\x1b[?1l\x1b>", // cursor and keypad keys
  "\x1b[r\x1b[?6l\x1b[?7h\x1b[4l", // margins, origin, wrap, insert
  "\x1b[?25h\x1b[0 q\x1b[0m", // cursor, colours
].join("");

const LAST_LINE = "\x1b[9999;1H";

export const attachCommand: Command = {
  name: "attach",
  summary: "Use an application's terminal; Ctrl-] leaves it running",
  arguments: [{ name: "APP", kind: "application" }],
  options: {
    "detach-key": {
      type: "string",
      value: "KEY",
      help: 'such as "ctrl-a"; "none": there is none (default "ctrl-]", or TORPOR_DETACH_KEY)',
    },
    view: { type: "boolean", help: "look only: neither type nor resize" },
  },
  details:
    "The terminal follows the application when it is restored. It ends when the application does.",
  async run(invocation, { agent, output, environment }) {
    if (output.json) {
      fail("usage", { happened: "attach shows a terminal; it has no --json." });
    }
    if (!process.stdin.isTTY || !process.stdout.isTTY) {
      fail("usage", {
        happened: "attach needs a terminal for its input and output.",
        remedy: 'Start it from a terminal, or use "script" to give it one.',
      });
    }
    const detachKey = parseKey(
      textOption(invocation, "detach-key") ?? environment.TORPOR_DETACH_KEY ?? DEFAULT_DETACH_KEY,
    );
    const client = await agent();
    const session = new AttachSession(client, detachKey, flag(invocation, "view"));
    return session.run(argument(invocation, 0));
  },
};

type Ending =
  | { readonly kind: "detached" }
  | { readonly kind: "closed"; readonly event: EventPayload<"terminal.closed"> }
  | { readonly kind: "lost"; readonly message: string };

class AttachSession {
  readonly #client: AgentClient;
  readonly #detachKey: Key | null;
  readonly #viewOnly: boolean;
  #terminal: string | null = null;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #sending = false;
  #end: (ending: Ending) => void = () => undefined;

  constructor(client: AgentClient, detachKey: Key | null, viewOnly: boolean) {
    this.#client = client;
    this.#detachKey = detachKey;
    this.#viewOnly = viewOnly;
  }

  async run(app: string): Promise<number> {
    const ended = new Promise<Ending>((resolve) => {
      this.#end = resolve;
    });
    // Before the call: the first screen comes before its answer. This connection has one terminal only.
    this.#client.on("terminal.output", ({ data }) => {
      process.stdout.write(Buffer.from(data, "base64"));
    });
    this.#client.on("terminal.closed", (event) => {
      this.#end({ kind: "closed", event });
    });
    void this.#client.closed.then((reason) => {
      this.#end({ kind: "lost", message: reason?.message ?? "The connection was closed." });
    });
    const size = this.#viewOnly ? {} : terminalSize();
    const { terminal } = await this.#client.call("terminal.open", {
      app,
      ...size,
      viewOnly: this.#viewOnly,
    });
    this.#terminal = terminal;
    const release = this.#takeTerminal();
    let ending: Ending;
    try {
      ending = await ended;
    } finally {
      release();
    }
    return this.#leave(app, ending);
  }

  /** Raw mode and signals; returns what puts the terminal back as it was. */
  #takeTerminal(): () => void {
    const { stdin, stdout } = process;
    const onData = (data: Buffer): void => {
      this.#type(data);
    };
    const onResize = (): void => {
      if (!this.#viewOnly && this.#terminal !== null) {
        this.#client
          .call("terminal.resize", { terminal: this.#terminal, ...terminalSize() })
          .catch(() => undefined);
      }
    };
    const detach = (): void => {
      this.#end({ kind: "detached" });
    };
    const signals = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"] as const;
    const restore = (): void => {
      stdin.off("data", onData);
      stdin.off("end", detach);
      stdin.off("error", detach);
      stdout.off("resize", onResize);
      process.off("exit", restore);
      for (const signal of signals) {
        process.off(signal, detach);
      }
      try {
        stdin.setRawMode(false);
      } catch {
        // The terminal itself is gone.
      }
      stdin.pause();
      stdout.write(TERMINAL_RESET);
    };
    // Also when something unforeseen ends this process: a terminal left in raw mode is unusable.
    process.on("exit", restore);
    for (const signal of signals) {
      process.on(signal, detach);
    }
    stdin.setRawMode(true);
    stdin.on("data", onData);
    stdin.on("end", detach);
    stdin.on("error", detach);
    stdout.on("resize", onResize);
    stdin.resume();
    // It may have changed while the terminal was being opened.
    onResize();
    return restore;
  }

  #type(data: Buffer): void {
    const key = this.#detachKey;
    const at = key === null ? -1 : data.indexOf(key.code);
    const text = at === -1 ? data : data.subarray(0, at);
    if (text.length > 0 && !this.#viewOnly) {
      this.#queue.push(text);
      this.#queuedBytes += text.length;
      void this.#send();
    }
    if (at !== -1) {
      this.#end({ kind: "detached" });
    }
  }

  /** One request at a time, in order; what comes meanwhile goes together. */
  async #send(): Promise<void> {
    if (this.#sending) {
      if (this.#queuedBytes > MAX_QUEUED_BYTES) {
        process.stdin.pause();
      }
      return;
    }
    this.#sending = true;
    try {
      while (this.#queue.length > 0 && this.#terminal !== null) {
        const all = Buffer.concat(this.#queue);
        const part = all.subarray(0, MAX_TERMINAL_INPUT_BYTES);
        const rest = all.subarray(part.length);
        this.#queue = rest.length === 0 ? [] : [rest];
        this.#queuedBytes = rest.length;
        await this.#client.call("terminal.input", {
          terminal: this.#terminal,
          data: part.toString("base64"),
        });
        if (process.stdin.isPaused() && this.#queuedBytes <= MAX_QUEUED_BYTES) {
          process.stdin.resume();
        }
      }
    } catch {
      // The terminal was closed; its event ends the session.
      this.#queue = [];
      this.#queuedBytes = 0;
    } finally {
      this.#sending = false;
    }
  }

  #leave(app: string, ending: Ending): number {
    // Below what the application has painted, wherever in it the cursor was.
    process.stdout.write(LAST_LINE);
    switch (ending.kind) {
      case "detached":
        process.stdout.write(`\r\n[detached from ${app}; it runs on]\r\n`);
        return 0;
      case "closed":
        process.stdout.write(`\r\n[${ending.event.message}]\r\n`);
        return ending.event.reason === "lost" ? 6 : 0;
      case "lost":
        process.stdout.write(`\r\n[${ending.message}]\r\n`);
        return 6;
    }
  }
}

function terminalSize(): { cols: number; rows: number } {
  const within = (value: number | undefined, fallback: number): number =>
    value === undefined || value < 1 ? fallback : Math.min(value, 1000);
  return { cols: within(process.stdout.columns, 80), rows: within(process.stdout.rows, 24) };
}
