// The operator socket for scripts: JSON-RPC 2.0, one message a line (docs/protocol.md). No schemas here,
// because it has to run before anything is built; the contract's own client checks everything.
import { connect } from "node:net";

import { Setback } from "../setback.mjs";

/** @typedef {Record<string, any>} Message */

export class OperatorClient {
  /** @type {import("node:net").Socket} */
  #socket;
  #lastId = 0;
  /** @type {Map<number, {resolve: (result: Message) => void, reject: (error: Error) => void}>} */
  #pending = new Map();
  /** @type {((event: string, payload: Message) => void)[]} */
  #listeners = [];

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (/** @type {string} */ chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(JSON.parse(line));
    });
    socket.on("error", () => {
      // `close` follows and says it to whoever waits.
    });
    socket.on("close", () => {
      const lost = new Setback("the agent closed its connection", "Its log says why.");
      for (const { reject } of this.#pending.values()) reject(lost);
      this.#pending.clear();
    });
  }

  /**
   * @param {string} path
   * @returns {Promise<OperatorClient | undefined>} undefined when nobody listens there
   */
  static open(path) {
    return new Promise((resolve) => {
      const socket = connect(path);
      socket.once("connect", () => resolve(new OperatorClient(socket)));
      socket.once("error", () => resolve(undefined));
    });
  }

  /**
   * @param {string} method
   * @param {Message} [params]
   * @returns {Promise<Message>}
   */
  call(method, params = {}) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new Setback("the agent is not there any more", "Its log says why."));
        return;
      }
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  /**
   * Starts long work and waits for its end.
   * @param {string} method
   * @param {Message} params
   * @returns {Promise<Message>} the operation's last record
   */
  async carryOut(method, params) {
    let { operation } = await this.call(method, params);
    while (operation.state === "running" || operation.state === "cancelling") {
      ({ operation } = await this.call("operations.wait", { operation: operation.id }));
    }
    if (operation.state !== "succeeded") {
      throw setbackOf(operation.error ?? { message: `${method} was cancelled` });
    }
    return operation;
  }

  /** @param {(event: string, payload: Message) => void} listener */
  onEvent(listener) {
    this.#listeners.push(listener);
  }

  close() {
    this.#socket.destroy();
  }

  /** @param {Message} message */
  #take(message) {
    if (typeof message.method === "string") {
      for (const listener of this.#listeners) listener(message.method, message.params);
      return;
    }
    const call = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.error === undefined) call?.resolve(message.result);
    else {
      call?.reject(setbackOf(message.error.data ?? message.error));
    }
  }
}

/**
 * A failure as the agent words it: what happened and what is unchanged, and apart from that what to do.
 * @param {Message} failure
 */
function setbackOf({ message, detail }) {
  const { happened = message, unchanged, remedy = "The agent's log says more." } = detail ?? {};
  return new Setback(unchanged === undefined ? happened : `${happened} ${unchanged}`, remedy);
}
