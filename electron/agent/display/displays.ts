/**
 * Open displays: each joins a client of the operator socket with the display of an application's capsule,
 * as a viewer (RFB), byte for byte. One ends with the life that it was opened in; a viewer that is still
 * wanted opens another one.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { fail, type DisplayId, type EventPayload } from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import {
  connectTo,
  lifeWith,
  pauseWhileCongested,
  type CongestibleClient,
} from "../capsules/capsule-socket.js";
import type { Logger } from "../log.js";

/** Who opened the display: the connection that its events go to. */
export interface DisplayOwner extends CongestibleClient {
  sendDisplayEvent<E extends `display.${"output" | "closed"}`>(
    event: E,
    payload: EventPayload<E>,
  ): void;
}

/** What the display's server has not taken yet; a viewer sends some bytes per key, and texts to paste. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

export class Displays {
  readonly #log: Logger;
  readonly #open = new Map<DisplayId, Display>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @throws FailureError when the application has no display or does not run. */
  async open(owner: DisplayOwner, application: Application): Promise<DisplayId> {
    const life = lifeWith("display", application);
    if (typeof life.capsule.file.display !== "string") {
      fail("no-display", {
        happened: `${application.title} was started without a display.`,
        remedy: 'Say display = "1280x800" in its file and start it again.',
        applicationId: application.id,
      });
    }
    let socket: Socket;
    try {
      socket = await connectTo(life.capsule.displaySocket);
    } catch (error) {
      this.#log.warn(
        { application: application.id, error: String(error) },
        "a display could not be opened",
      );
      fail("no-display", {
        happened: `The display of ${application.title} does not answer: ${error instanceof Error ? error.message : String(error)}.`,
        unchanged: "The application itself is not affected.",
        applicationId: application.id,
      });
    }
    const id: DisplayId = `d-${randomBytes(8).toString("hex")}`;
    this.#open.set(
      id,
      new Display(id, owner, socket, () => {
        this.#open.delete(id);
      }),
    );
    return id;
  }

  /** @throws FailureError when this owner has no such display. */
  require(owner: DisplayOwner, id: DisplayId): Display {
    const display = this.#open.get(id);
    return display?.owner === owner
      ? display
      : fail("no-such-display", { happened: `There is no open display ${id}.` });
  }

  countOf(owner: DisplayOwner): number {
    return [...this.#open.values()].filter((display) => display.owner === owner).length;
  }

  /** The client is gone. */
  closeOwned(owner: DisplayOwner): void {
    for (const display of [...this.#open.values()].filter((each) => each.owner === owner)) {
      display.close();
    }
  }
}

export class Display {
  readonly id: DisplayId;
  readonly owner: DisplayOwner;
  readonly #socket: Socket;
  #started = false;

  constructor(id: DisplayId, owner: DisplayOwner, socket: Socket, onClose: () => void) {
    this.id = id;
    this.owner = owner;
    this.#socket = socket;
    socket.on("error", () => {
      // 'close' follows and tells.
    });
    socket.on("close", () => {
      onClose();
      owner.sendDisplayEvent("display.closed", { display: id });
    });
  }

  /** The server speaks first: not before its client knows which display it is that speaks. */
  start(): void {
    if (this.#started) {
      return;
    }
    this.#started = true;
    this.#socket.on("data", (chunk: Buffer) => {
      this.owner.sendDisplayEvent("display.output", {
        display: this.id,
        data: chunk.toString("base64"),
      });
      pauseWhileCongested(this.#socket, this.owner);
    });
  }

  input(data: Buffer): void {
    this.#socket.write(data);
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#socket.destroy();
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
