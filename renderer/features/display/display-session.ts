// One display on screen: noVNC draws it and takes keys and pointer; it is connected again by itself for as
// long as it is wanted, because every capture and every restore may cut a viewer off.
import RFB from "@novnc/novnc";
import { toFailure, type Failure } from "../../../electron/contract/failure.js";
import { request } from "../../bridge.js";
import { copyText } from "../../commands.js";
import { DisplayChannel } from "./display-channel.js";
import { ownerOfKey } from "./display-keys.js";

export type DisplayStatus =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  /** Cut off, or never reached; tried again by itself. */
  | { readonly kind: "lost"; readonly failure: Failure | null };

const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 5000;
/** Longest text that is taken from or given to a program's clipboard. */
const MAX_CLIPBOARD_LENGTH = 1024 * 1024;

export interface DisplaySessionListener {
  status(status: DisplayStatus): void;
  /** The key to get out was pressed. */
  leave(): void;
}

export class DisplaySession {
  readonly #applicationId: string;
  readonly #frame: HTMLElement;
  readonly #label: string;
  readonly #listener: DisplaySessionListener;
  #rfb: RFB | null = null;
  #attempt = 0;
  #failures = 0;
  #timer: number | undefined;
  /** What the program has copied last. It goes to the operator's clipboard only when they ask for it. */
  #copied: string | null = null;
  #hadFocus = false;
  #disposed = false;

  constructor(
    applicationId: string,
    frame: HTMLElement,
    label: string,
    listener: DisplaySessionListener,
  ) {
    this.#applicationId = applicationId;
    this.#frame = frame;
    this.#label = label;
    this.#listener = listener;
    // Before noVNC, which takes every key that reaches its canvas.
    frame.addEventListener("keydown", this.#keyDown, { capture: true });
    frame.addEventListener("paste", this.#paste);
  }

  /** Connects, unless it is connected; at once, also where the next try would be later. */
  async connect(): Promise<void> {
    if (this.#disposed || this.#rfb !== null) return;
    window.clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.#listener.status({ kind: "connecting" });
    let channel: DisplayChannel;
    try {
      channel = await DisplayChannel.open(this.#applicationId);
    } catch (error) {
      if (attempt === this.#attempt) this.#lost(toFailure(error));
      return;
    }
    if (attempt !== this.#attempt) {
      channel.close();
      return;
    }
    this.#show(channel);
  }

  #show(channel: DisplayChannel): void {
    const rfb = new RFB(this.#frame, channel, { shared: true });
    this.#rfb = rfb;
    rfb.scaleViewport = true;
    rfb.resizeSession = false;
    rfb.focusOnClick = true;
    rfb.background = "transparent";
    // It never leaves the machine: sharp letters are worth more than few bytes.
    rfb.qualityLevel = 9;
    rfb.compressionLevel = 1;
    const canvas = this.#frame.querySelector("canvas");
    if (canvas !== null) {
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", `${this.#label}; Ctrl+F6 leaves it`);
    }
    rfb.addEventListener("connect", () => {
      this.#failures = 0;
      this.#listener.status({ kind: "connected" });
      // Whoever typed when it was cut off goes on typing.
      if (this.#hadFocus && document.activeElement === document.body) rfb.focus();
    });
    rfb.addEventListener("clipboard", ({ detail }) => {
      this.#copied = detail.text.slice(0, MAX_CLIPBOARD_LENGTH);
    });
    rfb.addEventListener("disconnect", () => {
      if (this.#rfb !== rfb) return;
      this.#rfb = null;
      this.#lost(null);
    });
    canvas?.addEventListener("focus", () => {
      this.#hadFocus = true;
    });
    canvas?.addEventListener("blur", () => {
      // An element that is removed is blurred as well, and that is nobody's wish.
      if (canvas.isConnected && document.hasFocus()) this.#hadFocus = false;
    });
    channel.start();
  }

  dispose(): void {
    this.#disposed = true;
    // An attempt that is under way finds itself outdated, and closes what it opened.
    this.#attempt += 1;
    window.clearTimeout(this.#timer);
    this.#frame.removeEventListener("keydown", this.#keyDown, { capture: true });
    this.#frame.removeEventListener("paste", this.#paste);
    const rfb = this.#rfb;
    this.#rfb = null;
    rfb?.disconnect();
  }

  #lost(failure: Failure | null): void {
    if (this.#disposed) return;
    this.#listener.status({ kind: "lost", failure });
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#timer = window.setTimeout(() => void this.connect(), wait);
  }

  readonly #keyDown = (event: KeyboardEvent): void => {
    const owner = ownerOfKey(event);
    if (owner === "program") return;
    event.stopPropagation();
    if (owner === "leave") {
      // The menu's own command follows, and goes to the next pane.
      this.#listener.leave();
      return;
    }
    event.preventDefault();
    if (owner === "copy" && this.#copied !== null) void copyText(this.#copied);
    if (owner === "paste") void request("clipboard:paste-into-focus", {});
  };

  readonly #paste = (event: ClipboardEvent): void => {
    event.preventDefault();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text !== "") this.#rfb?.clipboardPasteFrom(text.slice(0, MAX_CLIPBOARD_LENGTH));
  };
}
