/** A viewer of a display without eyes: shakes hands as RFB (RFC 6143) wants it, and types. */
import { once } from "node:events";
import type { AgentClient } from "../../../electron/contract/client.js";

export class TestViewer {
  readonly #client: AgentClient;
  readonly id: string;
  #received = Buffer.alloc(0);
  #closed = false;
  #changed = new EventTarget();

  private constructor(client: AgentClient, id: string) {
    this.#client = client;
    this.id = id;
    client.on("display.output", ({ display, data }) => {
      if (display === id) {
        this.#received = Buffer.concat([this.#received, Buffer.from(data, "base64")]);
        this.#changed.dispatchEvent(new Event("change"));
      }
    });
    client.on("display.closed", ({ display }) => {
      if (display === id) {
        this.#closed = true;
        this.#changed.dispatchEvent(new Event("change"));
      }
    });
  }

  static async open(client: AgentClient, app: string): Promise<TestViewer> {
    const { display } = await client.call("display.open", { app });
    const viewer = new TestViewer(client, display);
    await client.call("display.start", { display });
    return viewer;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The width and height that the server tells. */
  async greet(): Promise<[number, number]> {
    const version = await this.#take(12);
    if (!/^RFB 003\.\d{3}\n$/.test(version.toString("latin1"))) {
      throw new Error(`no RFB: ${version.toString("latin1")}`);
    }
    await this.#send(Buffer.from("RFB 003.008\n"));
    const [count = 0] = await this.#take(1);
    await this.#take(count);
    await this.#send(Buffer.from([1]));
    await this.#take(4);
    await this.#send(Buffer.from([1]));
    const head = await this.#take(24);
    await this.#take(head.readUInt32BE(20));
    return [head.readUInt16BE(0), head.readUInt16BE(2)];
  }

  /** Presses and releases a key for each character; ASCII only, whose keysyms are its codes. */
  async type(text: string): Promise<void> {
    const events = Array.from(text).flatMap((character) =>
      [1, 0].map((down) => {
        const event = Buffer.alloc(8);
        event[0] = 4;
        event[1] = down;
        event.writeUInt32BE(character.charCodeAt(0), 4);
        return event;
      }),
    );
    await this.#send(Buffer.concat(events));
  }

  async #send(bytes: Buffer): Promise<void> {
    await this.#client.call("display.input", { display: this.id, data: bytes.toString("base64") });
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#closed) {
        throw new Error("the display was closed");
      }
      await once(this.#changed, "change", { signal: AbortSignal.timeout(10_000) });
    }
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }
}
