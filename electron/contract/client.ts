/**
 * A typed client of the agent's operator socket, for the CLI and the panel's main process. It checks
 * what it receives by the contract, like the agent does; it does not reconnect by itself: `closed`
 * tells its owner, who knows what to do.
 */
import { connect, type Socket } from "node:net";
import { events, isEventName, type EventName, type EventPayload } from "./events.js";
import { describeFailure, FailureError, type Failure } from "./failure.js";
import type { OperationId } from "./identifiers.js";
import { MAX_RESPONSE_BYTES } from "./limits.js";
import { LineReader } from "./line-reader.js";
import { notificationSchema, responseSchema } from "./messages.js";
import { methods, type MethodName, type MethodParams, type MethodResult } from "./methods.js";
import { hasEnded, type OperationRecord } from "./operation.js";

interface PendingCall {
  readonly method: MethodName;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Listener<E extends EventName> = (payload: EventPayload<E>) => void;

export interface AgentClientOptions {
  /** How long connecting may take. */
  readonly connectTimeoutMs?: number;
}

export class AgentClient {
  readonly #socket: Socket;
  readonly #reader = new LineReader(MAX_RESPONSE_BYTES);
  readonly #pending = new Map<number, PendingCall>();
  readonly #listeners = new Map<EventName, Set<(payload: never) => void>>();
  #nextId = 1;
  #closeReason: Failure | null = null;

  /** Resolves once, when the connection has ended, with the reason; null when it was closed from here. */
  readonly closed: Promise<Failure | null>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    this.closed = new Promise((resolve) => {
      socket.on("error", (error) => {
        this.#closeReason ??= connectionLost(error.message);
      });
      socket.on("close", () => {
        const byUs = this.#closeReason === null && socket.writableEnded;
        const reason = byUs
          ? null
          : (this.#closeReason ?? connectionLost("it closed the connection"));
        this.#closeReason = reason;
        for (const call of this.#pending.values()) {
          call.reject(new FailureError(reason ?? connectionLost("the connection was closed")));
        }
        this.#pending.clear();
        resolve(reason);
      });
    });
  }

  /** @throws FailureError with code `agent-unreachable` or `not-permitted`. */
  static async connect(socketPath: string, options: AgentClientOptions = {}): Promise<AgentClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new FailureError(unreachable(socketPath, "it did not answer")));
      }, options.connectTimeoutMs ?? 5000);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.removeAllListeners("error");
        resolve();
      });
      socket.once("error", (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(new FailureError(connectFailure(socketPath, error), { cause: error }));
      });
    });
    return new AgentClient(socket);
  }

  /** Calls a method. @throws FailureError with whatever the agent says went wrong. */
  call<M extends MethodName>(method: M, params: MethodParams<M>): Promise<MethodResult<M>> {
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      return Promise.reject(
        new FailureError(this.#closeReason ?? connectionLost("the connection was closed")),
      );
    }
    const id = this.#nextId++;
    return new Promise<MethodResult<M>>((resolve, reject) => {
      this.#pending.set(id, { method, resolve: resolve as (result: unknown) => void, reject });
      this.#socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  /** Hears an event; the returned function ends that. The agent sends events after `events.subscribe`. */
  on<E extends EventName>(event: E, listener: Listener<E>): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  /**
   * Waits for an operation's end and returns its last record; whether it succeeded is for the caller
   * to look at. Progress reaches `onProgress` if this connection is subscribed to `operation.changed`.
   */
  async waitFor(
    operation: OperationId,
    onProgress?: (operation: OperationRecord) => void,
  ): Promise<OperationRecord> {
    const stop = this.on("operation.changed", (payload) => {
      if (payload.operation.id === operation) {
        onProgress?.(payload.operation);
      }
    });
    try {
      for (;;) {
        const answer = await this.call("operations.wait", { operation });
        if (hasEnded(answer.operation)) {
          return answer.operation;
        }
      }
    } finally {
      stop();
    }
  }

  close(): void {
    this.#socket.end();
    // The agent may be stuck: don't wait for it to close its half.
    this.#socket.destroySoon();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#reader.push(chunk)) {
        this.#dispatch(line);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#closeReason ??= connectionLost(
        `it sent something that is not of this protocol (${reason})`,
      );
      this.#socket.destroy();
    }
  }

  #dispatch(line: string): void {
    const message: unknown = JSON.parse(line);
    if (typeof message === "object" && message !== null && "method" in message) {
      const notification = notificationSchema.parse(message);
      // A newer agent may have events that this client doesn't know.
      if (isEventName(notification.method)) {
        this.#emit(notification.method, notification.params);
      }
      return;
    }
    const response = responseSchema.parse(message);
    if ("error" in response) {
      const failure = new FailureError(response.error.data);
      if (response.id === null) {
        this.#closeReason ??= response.error.data;
        return;
      }
      this.#take(response.id)?.reject(failure);
      return;
    }
    const call = this.#take(response.id);
    if (call === undefined) {
      return;
    }
    const parsed = methods[call.method].result.safeParse(response.result);
    if (parsed.success) {
      call.resolve(parsed.data);
    } else {
      call.reject(
        new FailureError(
          describeFailure("internal", {
            happened: `The agent's answer to ${call.method} is not what was agreed: ${parsed.error.message}`,
            remedy: "Agent and client are probably of different versions: restart both.",
          }),
        ),
      );
    }
  }

  #take(id: number | string): PendingCall | undefined {
    if (typeof id !== "number") {
      return undefined;
    }
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    return call;
  }

  #emit(event: EventName, params: unknown): void {
    const payload = events[event].parse(params);
    for (const listener of this.#listeners.get(event) ?? []) {
      (listener as (value: unknown) => void)(payload);
    }
  }
}

function connectionLost(reason: string): Failure {
  return describeFailure("agent-unreachable", {
    happened: `The connection to the agent was lost: ${reason}.`,
    unchanged: "Applications run on without the agent, and no image is touched.",
    remedy: "Start the agent again, then repeat what you did.",
  });
}

function unreachable(socketPath: string, reason: string): Failure {
  return describeFailure("agent-unreachable", {
    happened: `The agent can't be reached at ${socketPath}: ${reason}.`,
    unchanged: "Applications that run are not affected.",
    remedy:
      "Start the agent (from a checkout: npm run agent, as root), and check that TORPOR_HOME is the same for both.",
  });
}

function connectFailure(socketPath: string, error: NodeJS.ErrnoException): Failure {
  switch (error.code) {
    case "ENOENT":
      return unreachable(socketPath, "there is no such socket");
    case "ECONNREFUSED":
      return unreachable(socketPath, "nobody listens there any more");
    case "EACCES":
    case "EPERM":
      return describeFailure("not-permitted", {
        happened: `You may not use the agent's socket ${socketPath}.`,
        remedy:
          'Ask your administrator to add you to the group that owns the socket (usually "torpor").',
      });
    default:
      return unreachable(socketPath, error.message);
  }
}
