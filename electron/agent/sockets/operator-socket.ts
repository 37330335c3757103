/**
 * Listens on the operator socket and keeps its connections. The socket appears under its name only when
 * its owner and mode are right, so there is no moment at which the wrong people could connect.
 */
import { chmodSync, chownSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { describeFailure, MAX_CLIENTS, toRpcError } from "../../contract/index.js";
import type { AgentEvents } from "../agent-events.js";
import type { Logger } from "../log.js";
import { Connection, type ConnectionServices } from "./connection.js";
import { SOCKET_MODE, type OperatorAccess } from "./operator-access.js";

export class OperatorSocket {
  readonly #path: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #services: ConnectionServices;
  readonly #log: Logger;

  constructor(path: string, services: ConnectionServices, events: AgentEvents, log: Logger) {
    this.#path = path;
    this.#services = services;
    this.#log = log;
    this.#server = createServer((socket) => {
      this.#accept(socket);
    });
    events.listen((event, payload) => {
      for (const connection of this.#connections) {
        connection.notify(event, payload);
      }
    });
  }

  async listen(access: OperatorAccess): Promise<void> {
    const temporary = `${this.#path}.${process.pid}`;
    rmSync(temporary, { force: true });
    const previousMask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(temporary, resolve);
      });
    } finally {
      process.umask(previousMask);
    }
    chownSync(temporary, access.uid, access.gid);
    chmodSync(temporary, SOCKET_MODE);
    // Replaces what an agent that was killed has left; the lock says that there is no other.
    renameSync(temporary, this.#path);
    this.#server.on("error", (error) => {
      this.#log.error({ error: error.message }, "the operator socket failed");
    });
  }

  close(): void {
    this.#server.close();
    rmSync(this.#path, { force: true });
    for (const connection of this.#connections) {
      connection.end();
    }
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= MAX_CLIENTS) {
      const failure = describeFailure("too-many", {
        happened: `The agent serves ${MAX_CLIENTS} clients already.`,
        remedy: "Close some of them and try again.",
      });
      socket.on("error", () => undefined);
      socket.end(`${JSON.stringify({ jsonrpc: "2.0", id: null, error: toRpcError(failure) })}\n`);
      return;
    }
    const connection = new Connection(socket, this.#services, this.#log, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
  }
}
