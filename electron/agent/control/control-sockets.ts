/**
 * The control sockets of all capsules. Each lies in its capsule's `ctl/`, which the application sees as
 * /run/torpor-capsule and nobody else on the machine can enter: being able to reach the socket is what
 * says which application is talking.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, constants, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import {
  CONTROL_REQUEST_BURST,
  CONTROL_REQUESTS_PER_SECOND,
  describeFailure,
  MAX_CONTROL_CONNECTIONS,
  PROCEED_TIMEOUT_MS,
  toRpcError,
  type CapsuleId,
  type ControlEvent,
  type Trigger,
} from "../../contract/index.js";
import { Capsule } from "../capsules/capsule.js";
import type { Logger } from "../log.js";
import type { ApplicationSignals } from "./application-signals.js";
import { ControlConnection, type ControlHandler } from "./control-connection.js";
import type { ControlledLife } from "./controlled-life.js";
import { RequestRate } from "./request-rate.js";

const SOCKET_NAME = "control.sock";
/** The folders around it are the guard; within the capsule every user of the application may ask. */
const SOCKET_MODE = 0o666;

interface OpenSocket {
  readonly life: ControlledLife;
  readonly server: Server;
  readonly connections: Set<ControlConnection>;
}

export class ControlSockets {
  readonly #capsulesFolder: string;
  readonly #signals: ApplicationSignals;
  readonly #log: Logger;
  readonly #open = new Map<CapsuleId, OpenSocket>();
  #handle: ControlHandler | null = null;

  constructor(capsulesFolder: string, signals: ApplicationSignals, log: Logger) {
    this.#capsulesFolder = capsulesFolder;
    this.#signals = signals;
    this.#log = log;
  }

  /** What answers the requests; set once, before the first socket is opened. */
  serve(handle: ControlHandler): void {
    this.#handle = handle;
  }

  /**
   * Listens for a life, before or while it runs. An application can do without: what stands in the way
   * is logged, and the life is begun all the same.
   */
  async open(life: ControlledLife): Promise<void> {
    const handle = this.#handle;
    if (handle === null || this.#open.has(life.capsuleId)) {
      return;
    }
    const connections = new Set<ControlConnection>();
    const rate = new RequestRate(CONTROL_REQUESTS_PER_SECOND, CONTROL_REQUEST_BURST);
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      if (connections.size >= MAX_CONTROL_CONNECTIONS) {
        refuseConnection(socket);
        return;
      }
      const connection = new ControlConnection(socket, {
        life,
        rate,
        handle,
        log: this.#log,
        onClose: () => connections.delete(connection),
      });
      connections.add(connection);
    });
    try {
      await this.#listen(server, life.capsuleId);
      this.#open.set(life.capsuleId, { life, server, connections });
    } catch (error) {
      this.#log.warn(
        { capsule: life.capsuleId, error: error instanceof Error ? error.message : String(error) },
        "the control socket can't be opened: the application can't ask for checkpoints",
      );
    }
  }

  async #listen(server: Server, capsuleId: CapsuleId): Promise<void> {
    const folder = join(this.#capsulesFolder, capsuleId, "ctl");
    mkdirSync(join(this.#capsulesFolder, capsuleId), { recursive: true, mode: 0o700 });
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    // A socket's path may have 107 bytes, and the folder's alone may have more: go through a descriptor.
    const descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    const temporary = `.${SOCKET_NAME}.${process.pid}`;
    try {
      rmSync(join(folder, temporary), { force: true });
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(`/proc/self/fd/${descriptor}/${temporary}`, resolve);
      });
      server.removeAllListeners("error");
      server.on("error", (error) => {
        this.#log.warn({ capsule: capsuleId, error: error.message }, "a control socket failed");
      });
      chmodSync(join(folder, temporary), SOCKET_MODE);
      // Replaces what an earlier agent has left, without a moment in which there is none.
      renameSync(join(folder, temporary), join(folder, SOCKET_NAME));
    } catch (error) {
      server.close();
      closeSync(descriptor);
      throw error;
    }
    // Closing the server removes the path that it was bound to, if there is one: through this descriptor.
    server.once("close", () => {
      closeSync(descriptor);
    });
  }

  /** The life has ended. */
  close(capsuleId: CapsuleId): void {
    this.#signals.forget(capsuleId);
    const open = this.#open.get(capsuleId);
    if (open === undefined) {
      return;
    }
    this.#open.delete(capsuleId);
    open.server.close();
    for (const connection of open.connections) {
      connection.close();
    }
  }

  /** The life could not be begun: takes away what was prepared for it, unless there is a capsule. */
  discard(capsuleId: CapsuleId): void {
    this.close(capsuleId);
    if (Capsule.read(this.#capsulesFolder, capsuleId) === null) {
      rmSync(join(this.#capsulesFolder, capsuleId), { recursive: true, force: true });
    }
  }

  /** The agent ends, and the applications live on: their sockets stay, and nobody answers for a while. */
  closeAll(): void {
    for (const capsuleId of [...this.#open.keys()]) {
      this.close(capsuleId);
    }
  }

  /** Tells those who want to know, and waits until each has said `proceed`, is gone, or the time is up. */
  async announceCapture(capsuleId: CapsuleId, trigger: Trigger, stop: boolean): Promise<void> {
    const connections = [...(this.#open.get(capsuleId)?.connections ?? [])];
    const token = randomBytes(8).toString("hex");
    const event = {
      kind: "about-to-capture",
      token,
      trigger,
      stop,
      withinMs: PROCEED_TIMEOUT_MS,
    } as const;
    const answers = connections
      .map((connection) => connection.announce(event))
      .filter((answer) => answer !== null);
    if (answers.length === 0) {
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PROCEED_TIMEOUT_MS);
    });
    await Promise.race([Promise.all(answers), timeUp]);
    clearTimeout(timer);
    for (const connection of connections) {
      connection.forgetAnnouncement(token);
    }
  }

  notify(capsuleId: CapsuleId, event: ControlEvent): void {
    for (const connection of this.#open.get(capsuleId)?.connections ?? []) {
      connection.notify(event);
    }
  }
}

function refuseConnection(socket: Socket): void {
  const failure = describeFailure("too-many", {
    happened: `This application has ${MAX_CONTROL_CONNECTIONS} connections open already.`,
    remedy: "Close some of them and try again.",
  });
  socket.on("error", () => undefined);
  socket.end(`${JSON.stringify({ jsonrpc: "2.0", id: null, error: toRpcError(failure) })}\n`);
  socket.destroySoon();
}
