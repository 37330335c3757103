// The displays that the page shows: each a viewer's connection to an application's X server, over the agent.
// The main process passes bytes on and understands none of them; a display ends with the page that opened it.
import type { WebContents } from "electron";
import type { EventPayload } from "../contract/events.js";
import { describeFailure, FailureError } from "../contract/failure.js";
import { MAX_DISPLAY_INPUT_BYTES } from "../contract/limits.js";
import type { AgentLink } from "./agent-link.js";
import { sendEvent } from "./ipc/send-event.js";

/** More than an operator opens; a page that runs wild stops here. */
const MOST_DISPLAYS = 4;
/**
 * Output that the page has not yet taken, after which a display is closed: a viewer asks for each update of
 * the screen, so that only a server that pays no heed to it gets there. The largest screen has 133 MB.
 */
const MOST_UNACKNOWLEDGED_BYTES = 160 * 1024 * 1024;

interface OpenDisplay {
  readonly page: WebContents;
  unacknowledged: number;
}

export class Displays {
  readonly #agent: Pick<AgentLink, "call">;
  readonly #open = new Map<string, OpenDisplay>();
  readonly #pages = new WeakSet<WebContents>();
  #opening = 0;

  constructor(agent: Pick<AgentLink, "call">) {
    this.#agent = agent;
  }

  async open(applicationId: string, page: WebContents): Promise<string> {
    if (this.#open.size + this.#opening >= MOST_DISPLAYS) {
      throw new FailureError(
        describeFailure("too-many", {
          happened: `The panel has ${MOST_DISPLAYS} displays open, and opens no more.`,
          unchanged: "Every application runs on.",
          remedy: "Reload the panel’s window to close them.",
        }),
      );
    }
    this.#opening += 1;
    try {
      const { display } = await this.#agent.call("display.open", { app: applicationId });
      this.#open.set(display, { page, unacknowledged: 0 });
      this.#endWithPage(page);
      return display;
    } finally {
      this.#opening -= 1;
    }
  }

  /** The page listens now. */
  async start(displayId: string, page: WebContents): Promise<void> {
    if (this.#find(displayId, page) === undefined) return;
    await this.#agent.call("display.start", { display: displayId });
  }

  async write(displayId: string, data: Uint8Array, page: WebContents): Promise<void> {
    if (this.#find(displayId, page) === undefined) return;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const pieces: Promise<unknown>[] = [];
    for (let at = 0; at < bytes.length; at += MAX_DISPLAY_INPUT_BYTES) {
      const piece = bytes.subarray(at, at + MAX_DISPLAY_INPUT_BYTES).toString("base64");
      pieces.push(this.#agent.call("display.input", { display: displayId, data: piece }));
    }
    await Promise.all(pieces);
  }

  acknowledge(displayId: string, count: number, page: WebContents): void {
    const display = this.#find(displayId, page);
    if (display !== undefined) {
      display.unacknowledged = Math.max(0, display.unacknowledged - count);
    }
  }

  close(displayId: string, page: WebContents): void {
    if (this.#find(displayId, page) !== undefined) this.#end(displayId);
  }

  received({ display: displayId, data }: EventPayload<"display.output">): void {
    const display = this.#open.get(displayId);
    if (display === undefined) return;
    const bytes = Buffer.from(data, "base64");
    display.unacknowledged += bytes.length;
    if (display.unacknowledged > MOST_UNACKNOWLEDGED_BYTES) {
      this.#end(displayId);
      sendEvent(display.page, "displays:closed", { displayId });
      return;
    }
    sendEvent(display.page, "displays:output-received", { displayId, data: new Uint8Array(bytes) });
  }

  ended({ display: displayId }: EventPayload<"display.closed">): void {
    const display = this.#open.get(displayId);
    if (display === undefined) return;
    this.#open.delete(displayId);
    sendEvent(display.page, "displays:closed", { displayId });
  }

  /** The connection to the agent is gone, and every display with it. */
  allLost(): void {
    for (const displayId of [...this.#open.keys()]) this.ended({ display: displayId });
  }

  #end(displayId: string): void {
    this.#open.delete(displayId);
    // Where it has ended already there is nothing to close.
    this.#agent.call("display.close", { display: displayId }).catch(() => undefined);
  }

  /** A request can come after its display has ended: that is no error, there is just nothing to do. */
  #find(displayId: string, page: WebContents): OpenDisplay | undefined {
    const display = this.#open.get(displayId);
    return display?.page === page ? display : undefined;
  }

  #endWithPage(page: WebContents): void {
    if (this.#pages.has(page)) return;
    this.#pages.add(page);
    const closeItsOwn = (): void => {
      for (const [displayId, display] of [...this.#open]) {
        if (display.page === page) this.#end(displayId);
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
