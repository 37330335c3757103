// The bytes between noVNC and a display's server, over the main process and the agent: it has the face of a
// WebSocket, because that is what noVNC knows.
import type { RawChannel } from "@novnc/novnc";
import { hear, request } from "../../bridge.js";

/** A write longer than this is sent in pieces: main refuses longer ones. */
const PIECE_BYTES = 512 * 1024;

export class DisplayChannel implements RawChannel {
  // noVNC looks for own properties of these names.
  binaryType = "arraybuffer";
  protocol = "";
  readyState = "open";
  onopen: RawChannel["onopen"] = null;
  onmessage: RawChannel["onmessage"] = null;
  onclose: RawChannel["onclose"] = null;
  onerror: RawChannel["onerror"] = null;
  readonly #displayId: string;
  readonly #stops: (() => void)[];

  private constructor(displayId: string) {
    this.#displayId = displayId;
    this.#stops = [
      hear("displays:output-received", (output) => {
        if (output.displayId === this.#displayId) this.#receive(output.data);
      }),
      hear("displays:closed", (closed) => {
        if (closed.displayId === this.#displayId) this.#end(false);
      }),
    ];
  }

  /** @throws FailureError where the application has no display, or it does not answer. */
  static async open(applicationId: string): Promise<DisplayChannel> {
    const { displayId } = await request("displays:open", { applicationId });
    return new DisplayChannel(displayId);
  }

  /** To be called when noVNC listens: the server speaks first. */
  start(): void {
    request("displays:start", { displayId: this.#displayId }).catch(() => this.#end(false));
  }

  send(data: Uint8Array | ArrayBuffer): void {
    if (this.readyState !== "open") return;
    // noVNC uses the same buffer again.
    const bytes = new Uint8Array(data).slice();
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      request("displays:write", {
        displayId: this.#displayId,
        data: bytes.slice(at, at + PIECE_BYTES),
      }).catch(() => this.#end(false));
    }
  }

  close(): void {
    if (this.readyState === "closed") return;
    void request("displays:close", { displayId: this.#displayId }).catch(() => undefined);
    this.#end(true);
  }

  #receive(data: Uint8Array): void {
    this.onmessage?.({ data: data.slice().buffer });
    void request("displays:acknowledge", {
      displayId: this.#displayId,
      count: data.length,
    }).catch(() => undefined);
  }

  #end(wasClean: boolean): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    for (const stop of this.#stops) stop();
    this.onclose?.({ code: wasClean ? 1000 : 1006, reason: "", wasClean });
  }
}
