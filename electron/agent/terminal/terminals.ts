/**
 * Open terminals: each connects a client of the operator socket with the attach socket of an
 * application's capsule, and follows the application from one life to the next.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import {
  exitReportSchema,
  fail,
  type ApplicationId,
  type EventPayload,
  type ExitReport,
  type TerminalId,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import type { Capsule } from "../capsules/capsule.js";
import {
  connectTo,
  lifeWith,
  pauseWhileCongested,
  type CongestibleClient,
} from "../capsules/capsule-socket.js";
import type { Logger } from "../log.js";
import { encodeFrame, encodeSize, FrameReader, type Frame } from "./attach-frames.js";

/** Who opened the terminal: the connection that its events go to. */
export interface TerminalOwner extends CongestibleClient {
  sendTerminalEvent<E extends `terminal.${"output" | "resized" | "closed"}`>(
    event: E,
    payload: EventPayload<E>,
  ): void;
}

type CloseReason = EventPayload<"terminal.closed">["reason"];

/** A snapshot must follow at once; a capsule that sends none is stuck. */
const SNAPSHOT_TIMEOUT_MS = 5000;
/** The capsule drops clients that read too slowly; they are attached anew, but not for ever. */
const MAX_REATTACHMENTS = 5;
const REATTACH_WINDOW_MS = 10_000;

export class Terminals {
  readonly #log: Logger;
  readonly #open = new Map<TerminalId, Terminal>();
  readonly #lastInputAt = new Map<ApplicationId, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @throws FailureError when the application has no terminal or does not run. */
  async open(
    owner: TerminalOwner,
    application: Application,
    options: { cols: number; rows: number; viewOnly: boolean },
  ): Promise<TerminalId> {
    const life = lifeWith("terminal", application);
    if (life.capsule.file.tty === false) {
      fail("no-terminal", {
        happened: `${application.title} was started without a terminal.`,
        remedy:
          typeof life.capsule.file.display === "string"
            ? "It has a display: open that in the panel."
            : "Say terminal = true in its file and start it again.",
        applicationId: application.id,
      });
    }
    const id: TerminalId = `t-${randomBytes(8).toString("hex")}`;
    const terminal = new Terminal(id, application.id, owner, options, {
      input: () => {
        this.#lastInputAt.set(application.id, Date.now());
      },
      close: () => {
        this.#open.delete(id);
      },
    });
    this.#open.set(id, terminal);
    try {
      await terminal.attach(life.capsule, { resize: true });
    } catch (error) {
      this.#open.delete(id);
      this.#log.warn(
        { application: application.id, error: String(error) },
        "a terminal could not be attached",
      );
      fail("no-terminal", {
        happened: `The terminal of ${application.title} does not answer: ${error instanceof Error ? error.message : String(error)}.`,
        unchanged: "The application itself is not affected.",
        applicationId: application.id,
      });
    }
    return id;
  }

  /** @throws FailureError when this owner has no such terminal. */
  require(owner: TerminalOwner, id: TerminalId): Terminal {
    const terminal = this.#open.get(id);
    return terminal?.owner === owner
      ? terminal
      : fail("no-such-terminal", { happened: `There is no open terminal ${id}.` });
  }

  /** When somebody last typed into a terminal of the application, as `Date.now()` has it; 0: never. */
  lastInputAt(application: ApplicationId): number {
    return this.#lastInputAt.get(application) ?? 0;
  }

  countOf(owner: TerminalOwner): number {
    return this.#of((terminal) => terminal.owner === owner).length;
  }

  /** The application lives in another capsule from now on. */
  async move(application: ApplicationId, capsule: Capsule): Promise<void> {
    await Promise.all(
      this.#of((terminal) => terminal.applicationId === application).map(async (terminal) => {
        try {
          await terminal.attach(capsule, { resize: false });
        } catch (error) {
          this.#log.warn(
            { application, error: String(error) },
            "a terminal could not follow its application",
          );
          terminal.close("lost", "The terminal of the restored application does not answer.", null);
        }
      }),
    );
  }

  closeAll(
    application: ApplicationId,
    reason: CloseReason,
    message: string,
    exit: ExitReport | null,
  ): void {
    for (const terminal of this.#of((each) => each.applicationId === application)) {
      terminal.close(reason, message, exit);
    }
  }

  /** The client is gone. */
  closeOwned(owner: TerminalOwner): void {
    for (const terminal of this.#of((each) => each.owner === owner)) {
      terminal.close("closed", "The terminal was closed.", null);
    }
  }

  #of(filter: (terminal: Terminal) => boolean): Terminal[] {
    return [...this.#open.values()].filter(filter);
  }
}

interface TerminalListener {
  input(): void;
  close(): void;
}

export class Terminal {
  readonly id: TerminalId;
  readonly applicationId: ApplicationId;
  readonly owner: TerminalOwner;
  readonly #viewOnly: boolean;
  readonly #listener: TerminalListener;
  #cols: number;
  #rows: number;
  #socket: Socket | null = null;
  #capsule: Capsule | null = null;
  #exit: ExitReport | null = null;
  #closed = false;
  /** A long screen comes in several frames: only the first of them begins a new one. */
  #screenBegun = false;
  #reattachments: number[] = [];

  constructor(
    id: TerminalId,
    applicationId: ApplicationId,
    owner: TerminalOwner,
    options: { cols: number; rows: number; viewOnly: boolean },
    listener: TerminalListener,
  ) {
    this.id = id;
    this.applicationId = applicationId;
    this.owner = owner;
    this.#cols = options.cols;
    this.#rows = options.rows;
    this.#viewOnly = options.viewOnly;
    this.#listener = listener;
  }

  /** Connects to a capsule, in place of the one before if there was one; resolves with the snapshot sent. */
  async attach(capsule: Capsule, { resize }: { resize: boolean }): Promise<void> {
    const socket = await connectTo(capsule.attachSocket);
    if (this.#closed) {
      socket.destroy();
      return;
    }
    const previous = this.#socket;
    this.#socket = socket;
    this.#capsule = capsule;
    this.#screenBegun = false;
    previous?.destroy();
    const snapshot = this.#serve(socket);
    socket.write(
      this.#viewOnly
        ? encodeFrame("V", Buffer.alloc(0))
        : encodeFrame("A", resize ? encodeSize(this.#cols, this.#rows) : encodeSize(0, 0)),
    );
    await snapshot;
  }

  /** Passes on what the capsule sends; resolves with its first screen. */
  #serve(socket: Socket): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error("it sent no screen"));
        socket.destroy();
      }, SNAPSHOT_TIMEOUT_MS);
      const reader = new FrameReader();
      socket.on("data", (chunk) => {
        try {
          for (const frame of reader.push(chunk)) {
            if (frame.type === "S") {
              clearTimeout(timer);
              resolve();
            } else if (frame.type === "E") {
              reject(new Error(frame.payload.toString("utf8")));
            }
            this.#receive(frame);
          }
        } catch {
          socket.destroy();
        }
        pauseWhileCongested(socket, this.owner);
      });
      socket.on("error", () => {
        // 'close' follows and decides.
      });
      socket.on("close", () => {
        clearTimeout(timer);
        reject(new Error("it closed the connection"));
        this.#lost(socket);
      });
    });
  }

  input(data: Buffer): void {
    if (!this.#viewOnly) {
      this.#listener.input();
      this.#socket?.write(encodeFrame("I", data));
    }
  }

  resize(cols: number, rows: number): void {
    this.#cols = cols;
    this.#rows = rows;
    if (!this.#viewOnly) {
      this.#socket?.write(encodeFrame("R", encodeSize(cols, rows)));
    }
  }

  close(reason: CloseReason, message: string, exit: ExitReport | null): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#socket?.destroy();
    this.#listener.close();
    this.owner.sendTerminalEvent("terminal.closed", {
      terminal: this.id,
      reason,
      message,
      exit: exit ?? this.#exit,
    });
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case "S":
      case "O":
        this.owner.sendTerminalEvent("terminal.output", {
          terminal: this.id,
          kind: frame.type === "S" && !this.#screenBegun ? "snapshot" : "output",
          data: frame.payload.toString("base64"),
        });
        this.#screenBegun ||= frame.type === "S";
        break;
      case "Z":
        if (frame.payload.length >= 4) {
          this.owner.sendTerminalEvent("terminal.resized", {
            terminal: this.id,
            cols: Math.min(1000, Math.max(1, frame.payload.readUInt16LE(0))),
            rows: Math.min(1000, Math.max(1, frame.payload.readUInt16LE(2))),
          });
        }
        break;
      case "X":
        this.#exit = parseExit(frame.payload);
        break;
      default:
        // A newer init may tell more than this agent knows.
        break;
    }
  }

  /** The capsule hung up: it ended (its application's end closes this terminal), or we were too slow. */
  #lost(socket: Socket): void {
    const capsule = this.#capsule;
    if (this.#closed || socket !== this.#socket || capsule === null) {
      return;
    }
    this.#socket = null;
    if (this.#exit !== null || !capsule.alive) {
      return;
    }
    const now = performance.now();
    this.#reattachments = [
      ...this.#reattachments.filter((at) => now - at < REATTACH_WINDOW_MS),
      now,
    ];
    if (this.#reattachments.length > MAX_REATTACHMENTS) {
      this.close("lost", "The connection to the terminal was lost; open it again.", null);
      return;
    }
    const reattach = (): void => {
      this.attach(capsule, { resize: false }).catch(() => {
        if (capsule.alive) {
          this.close("lost", "The connection to the terminal was lost; open it again.", null);
        }
      });
    };
    if (this.owner.congested) {
      this.owner.onceDrained(reattach);
    } else {
      setTimeout(reattach, 50);
    }
  }
}

function parseExit(payload: Buffer): ExitReport | null {
  try {
    return exitReportSchema.parse(JSON.parse(payload.toString("utf8")));
  } catch {
    return null;
  }
}
