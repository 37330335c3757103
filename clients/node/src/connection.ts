/** One connection: requests, their answers, and the events in between. It does not outlive its end. */
import { connect, type Socket } from "node:net";
import { ConnectionLostError, RequestRefusedError, UnavailableError } from "./errors.js";
import type { Event } from "./messages.js";

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Message {
  readonly id?: number | null;
  readonly method?: string;
  readonly params?: Event;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly data?: { readonly code?: string } };
}

const MAX_MESSAGE_CHARACTERS = 64 * 1024;

export class Connection {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #rest = "";
  #nextId = 1;
  #open = true;

  private constructor(socket: Socket, onEvent: (event: Event) => void, onEnd: () => void) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      this.#receive(text, onEvent);
    });
    socket.on("error", () => undefined);
    const end = (): void => {
      if (this.#open) {
        this.#open = false;
        socket.destroy();
        for (const { reject } of this.#pending.values()) {
          reject(new ConnectionLostError("the connection to the agent has ended"));
        }
        this.#pending.clear();
        onEnd();
      }
    };
    socket.on("end", end);
    socket.on("close", end);
  }

  /** @throws UnavailableError when nobody listens. */
  static async open(
    path: string,
    onEvent: (event: Event) => void,
    onEnd: () => void,
  ): Promise<Connection> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => {
        reject(new UnavailableError(error.message));
      });
    });
    return new Connection(socket, onEvent, onEnd);
  }

  get open(): boolean {
    return this.#open;
  }

  call(method: string, params: object, signal?: AbortSignal): Promise<unknown> {
    if (!this.#open) {
      return Promise.reject(new ConnectionLostError("the connection to the agent has ended"));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#pending.delete(id);
        reject(signal?.reason as Error);
      };
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener("abort", abort);
          settle(value);
        };
      this.#pending.set(id, { resolve: settled(resolve), reject: settled(reject) });
      signal?.addEventListener("abort", abort, { once: true });
      this.#socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  close(): void {
    this.#socket.end();
  }

  /** An open connection alone is no reason for the process to go on. */
  unref(): void {
    this.#socket.unref();
  }

  ref(): void {
    this.#socket.ref();
  }

  #receive(text: string, onEvent: (event: Event) => void): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_MESSAGE_CHARACTERS) {
      this.#socket.destroy();
      return;
    }
    for (const line of lines) {
      const message = JSON.parse(line) as Message;
      if (message.method === "event" && message.params !== undefined) {
        onEvent(message.params);
      } else {
        this.#answer(message);
      }
    }
  }

  #answer({ id, result, error }: Message): void {
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (pending === undefined || typeof id !== "number") {
      return;
    }
    this.#pending.delete(id);
    if (error === undefined) {
      pending.resolve(result);
    } else {
      pending.reject(new RequestRefusedError(error.data?.code ?? "internal", error.message));
    }
  }
}
