// One terminal on screen and the `torpor attach` behind it: xterm.js draws, the main process owns the
// PTY, and what passes between them is bounded (shown output is acknowledged).
import { FitAddon } from "@xterm/addon-fit";
import { Terminal, type ITheme } from "@xterm/xterm";
import { toFailure, type Failure } from "../../../electron/contract/failure.js";
import { hear, request } from "../../bridge.js";
import { copyText } from "../../commands.js";
import { ownerOfKey } from "./terminal-keys.js";

export type TerminalStatus =
  | { readonly kind: "attaching" }
  | { readonly kind: "attached"; readonly cols: number; readonly rows: number }
  | { readonly kind: "detached"; readonly exitCode: number }
  | { readonly kind: "failed"; readonly failure: Failure };

/** A write longer than this is sent in pieces: main refuses longer ones. */
const PIECE_LENGTH = 128 * 1024;
/** Output is acknowledged in steps of this size, not for each character. */
const ACKNOWLEDGE_EVERY = 16 * 1024;

export class TerminalSession {
  readonly #applicationId: string;
  readonly #onStatus: (status: TerminalStatus) => void;
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  readonly #stops: (() => void)[];
  #terminalId: string | null = null;
  #attempt = 0;
  #shown = 0;
  #disposed = false;

  constructor(
    applicationId: string,
    look: { readonly theme: ITheme; readonly fontSize: number; readonly fontFamily: string },
    onStatus: (status: TerminalStatus) => void,
  ) {
    this.#applicationId = applicationId;
    this.#onStatus = onStatus;
    this.#terminal = new Terminal({
      ...look,
      fontWeightBold: 700,
      lineHeight: 1.1,
      scrollback: 10_000,
      cursorBlink: false,
      // Not raised by xterm.js: it takes the wrong colour for reversed text, and makes that unreadable. The
      // palette is readable on its ground by itself.
      minimumContrastRatio: 1,
      // Screen readers get the terminal's lines as text.
      screenReaderMode: true,
      allowProposedApi: false,
      macOptionIsMeta: false,
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.attachCustomKeyEventHandler((event) => this.#handleKey(event));
    this.#terminal.onData((data) => this.#write(data));
    this.#terminal.onBinary((data) => this.#write(data));
    this.#terminal.onResize(({ cols, rows }) => this.#resize(cols, rows));
    this.#observer = new ResizeObserver(() => this.#refit());
    this.#stops = [
      hear("terminals:output-received", ({ terminalId, data }) => {
        if (terminalId === this.#terminalId) this.#show(data);
      }),
      hear("terminals:closed", ({ terminalId, exitCode }) => {
        if (terminalId !== this.#terminalId) return;
        this.#terminalId = null;
        this.#onStatus({ kind: "detached", exitCode });
      }),
    ];
  }

  open(element: HTMLElement): void {
    this.#terminal.open(element);
    this.#observer.observe(element);
    this.#refit();
  }

  get attached(): boolean {
    return this.#terminalId !== null;
  }

  async attach(): Promise<void> {
    if (this.#disposed || this.#terminalId !== null) return;
    const attempt = ++this.#attempt;
    this.#onStatus({ kind: "attaching" });
    const { cols, rows } = this.#terminal;
    try {
      const { terminalId } = await request("terminals:open", {
        applicationId: this.#applicationId,
        cols,
        rows,
      });
      if (attempt !== this.#attempt) {
        await request("terminals:close", { terminalId });
        return;
      }
      // What an earlier life left on screen is not this one's.
      this.#terminal.reset();
      this.#terminalId = terminalId;
      this.#onStatus({ kind: "attached", cols, rows });
      this.#resize(this.#terminal.cols, this.#terminal.rows);
    } catch (error) {
      this.#onStatus({ kind: "failed", failure: toFailure(error) });
    }
  }

  setLook(look: { readonly theme: ITheme; readonly fontSize: number }): void {
    this.#terminal.options.theme = look.theme;
    this.#terminal.options.fontSize = look.fontSize;
    this.#refit();
  }

  focus(): void {
    this.#terminal.focus();
  }

  dispose(): void {
    this.#disposed = true;
    // An attempt that is under way finds itself outdated, and closes what it opened.
    this.#attempt += 1;
    this.#observer.disconnect();
    for (const stop of this.#stops) stop();
    this.#detach();
    this.#terminal.dispose();
  }

  #detach(): void {
    if (this.#terminalId === null) return;
    const terminalId = this.#terminalId;
    this.#terminalId = null;
    // The main process closes what is left when the page goes; nothing more can be done here.
    void request("terminals:close", { terminalId }).catch(() => undefined);
  }

  #show(data: string): void {
    const terminalId = this.#terminalId;
    this.#terminal.write(data, () => {
      this.#shown += data.length;
      if (this.#shown < ACKNOWLEDGE_EVERY || terminalId === null) return;
      const count = this.#shown;
      this.#shown = 0;
      void request("terminals:acknowledge", { terminalId, count }).catch(() => undefined);
    });
  }

  #write(data: string): void {
    if (this.#terminalId === null) return;
    for (let start = 0; start < data.length; start += PIECE_LENGTH) {
      void request("terminals:write", {
        terminalId: this.#terminalId,
        data: data.slice(start, start + PIECE_LENGTH),
      }).catch(() => undefined);
    }
  }

  #resize(cols: number, rows: number): void {
    if (this.#terminalId === null) return;
    this.#onStatus({ kind: "attached", cols, rows });
    void request("terminals:resize", { terminalId: this.#terminalId, cols, rows }).catch(
      () => undefined,
    );
  }

  #refit(): void {
    // A pane that is folded away has no size to fit into.
    const wanted = this.#fit.proposeDimensions();
    if (wanted === undefined || !(wanted.cols > 1) || !(wanted.rows > 1)) return;
    this.#fit.fit();
  }

  #handleKey(event: KeyboardEvent): boolean {
    const owner = ownerOfKey(event);
    if (owner === "program") return true;
    if (owner === "panel" || event.type !== "keydown") return false;
    event.preventDefault();
    if (owner === "copy" && this.#terminal.hasSelection())
      void copyText(this.#terminal.getSelection());
    if (owner === "paste") void request("clipboard:paste-into-focus", {});
    return false;
  }
}
