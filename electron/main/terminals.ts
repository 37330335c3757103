// The terminals that the page shows: each a PTY with `torpor attach APP` on it. The main process owns
// them; they end with the page that opened them. Ending one detaches from the application, no more.
import { existsSync } from "node:fs";
import type { WebContents } from "electron";
import { spawn, type IPty } from "node-pty";
import { describeFailure, FailureError, type Failure } from "../contract/failure.js";
import { attachCommand } from "./attach-command.js";
import { sendEvent } from "./ipc/send-event.js";

/** Output that the page has not yet shown: past the first the PTY is paused, below the second it goes on. */
const PAUSE_ABOVE_CHARACTERS = 512 * 1024;
const RESUME_BELOW_CHARACTERS = 64 * 1024;
/** More than an operator opens; a page that runs wild stops here. */
const MOST_TERMINALS = 16;

interface OpenTerminal {
  readonly pty: IPty;
  readonly page: WebContents;
  unacknowledged: number;
  paused: boolean;
}

export class Terminals {
  readonly #appFolder: string;
  readonly #open = new Map<string, OpenTerminal>();
  readonly #pages = new WeakSet<WebContents>();
  #nextNumber = 1;

  constructor(appFolder: string) {
    this.#appFolder = appFolder;
  }

  open(applicationId: string, cols: number, rows: number, page: WebContents): string {
    if (this.#open.size >= MOST_TERMINALS) {
      throw new FailureError(
        describeFailure("too-many", {
          happened: `The panel has ${MOST_TERMINALS} terminals open, and opens no more.`,
          unchanged: "Every application runs on.",
          remedy: "Reload the panel’s window to close them.",
        }),
      );
    }
    const command = attachCommand(
      applicationId,
      { execPath: process.execPath, appFolder: this.#appFolder },
      process.env,
    );
    if (!existsSync(command.script)) throw new FailureError(missing(command.script));
    const pty = spawn(command.file, [command.script, ...command.args], {
      name: "xterm-256color",
      cols,
      rows,
      env: { ...command.env },
      encoding: "utf8",
    });
    const terminalId = `pty-${this.#nextNumber}`;
    this.#nextNumber += 1;
    const terminal: OpenTerminal = { pty, page, unacknowledged: 0, paused: false };
    this.#open.set(terminalId, terminal);
    this.#endWithPage(page);
    pty.onData((data) => {
      terminal.unacknowledged += data.length;
      if (!terminal.paused && terminal.unacknowledged > PAUSE_ABOVE_CHARACTERS) {
        terminal.paused = true;
        pty.pause();
      }
      sendEvent(page, "terminals:output-received", { terminalId, data });
    });
    pty.onExit(({ exitCode }) => {
      if (this.#open.delete(terminalId))
        sendEvent(page, "terminals:closed", { terminalId, exitCode });
    });
    return terminalId;
  }

  write(terminalId: string, data: string, page: WebContents): void {
    this.#find(terminalId, page)?.pty.write(data);
  }

  resize(terminalId: string, cols: number, rows: number, page: WebContents): void {
    this.#find(terminalId, page)?.pty.resize(cols, rows);
  }

  acknowledge(terminalId: string, count: number, page: WebContents): void {
    const terminal = this.#find(terminalId, page);
    if (terminal === undefined) return;
    terminal.unacknowledged = Math.max(0, terminal.unacknowledged - count);
    if (terminal.paused && terminal.unacknowledged < RESUME_BELOW_CHARACTERS) {
      terminal.paused = false;
      terminal.pty.resume();
    }
  }

  close(terminalId: string, page: WebContents): void {
    const terminal = this.#find(terminalId, page);
    if (terminal === undefined) return;
    this.#open.delete(terminalId);
    end(terminal);
  }

  closeAll(): void {
    for (const terminal of this.#open.values()) end(terminal);
    this.#open.clear();
  }

  /** A request can come after its terminal has ended: that is no error, there is just nothing to do. */
  #find(terminalId: string, page: WebContents): OpenTerminal | undefined {
    const terminal = this.#open.get(terminalId);
    return terminal?.page === page ? terminal : undefined;
  }

  #endWithPage(page: WebContents): void {
    if (this.#pages.has(page)) return;
    this.#pages.add(page);
    const closeItsOwn = (): void => {
      for (const [terminalId, terminal] of this.#open) {
        if (terminal.page !== page) continue;
        this.#open.delete(terminalId);
        end(terminal);
      }
    };
    // A reload starts the page anew, and what it had opened would have no owner.
    page.on("did-start-navigation", (details) => {
      if (details.isMainFrame && !details.isSameDocument) closeItsOwn();
    });
    page.on("render-process-gone", closeItsOwn);
    page.once("destroyed", closeItsOwn);
  }
}

function missing(script: string): Failure {
  return describeFailure("internal", {
    happened: `The terminal can’t be shown: ${script} is not there.`,
    unchanged: "The application runs on.",
    remedy: "Install Torpor again, or, in a checkout, build it: npm run build.",
  });
}

function end(terminal: OpenTerminal): void {
  try {
    // SIGHUP, as from a terminal window that is closed: the client detaches.
    terminal.pty.kill();
  } catch {
    // It has ended by itself already.
  }
}
