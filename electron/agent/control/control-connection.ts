/**
 * One connection of an application to its control socket. Everything about it is bounded: the length of
 * a message, how many are unanswered, how fast they are read, how much is left unread. One that passes a
 * bound is told why, where it listens at all, and closed; the agent and other applications go on.
 */
import type { Socket } from "node:net";
import {
  CONTROL_MESSAGE_TIMEOUT_MS,
  controlMethods,
  describeFailure,
  FailureError,
  isControlMethodName,
  LineReader,
  LineTooLongError,
  MAX_CONTROL_MALFORMED,
  MAX_CONTROL_MESSAGE_BYTES,
  MAX_CONTROL_PENDING,
  MAX_CONTROL_UNREAD_BYTES,
  requestSchema,
  rpcErrorNumbers,
  toFailure,
  toRpcError,
  type ControlEvent,
  type ControlEventKind,
  type ControlMethodName,
  type Failure,
  type RequestId,
} from "../../contract/index.js";
import type { Logger } from "../log.js";
import type { ControlledLife } from "./controlled-life.js";
import type { RequestRate } from "./request-rate.js";

/** What a method sees of the connection that calls it. */
export interface ControlClient {
  readonly life: ControlledLife;
  subscribe(kinds: readonly ControlEventKind[]): void;
  /** Answers the capture that this connection was told of. */
  proceed(token: string): boolean;
  notify(event: ControlEvent): void;
}

export type ControlHandler = (
  method: ControlMethodName,
  params: unknown,
  client: ControlClient,
) => unknown;

export interface ConnectionSurroundings {
  readonly life: ControlledLife;
  /** Of all connections of the capsule together. */
  readonly rate: RequestRate;
  readonly handle: ControlHandler;
  readonly log: Logger;
  readonly onClose: () => void;
}

/** How long a connection that is too fast is not read. */
const THROTTLE_MS = 20;
/** A connection that was refused may read why for this long. */
const LINGER_MS = 1000;

export class ControlConnection implements ControlClient {
  readonly life: ControlledLife;
  readonly #socket: Socket;
  readonly #surroundings: ConnectionSurroundings;
  readonly #reader = new LineReader(MAX_CONTROL_MESSAGE_BYTES);
  readonly #subscribed = new Set<ControlEventKind>();
  readonly #awaited = new Map<string, () => void>();
  /** Lines that came too fast, at most as many as may be unanswered. */
  #held: string[] = [];
  #pending = 0;
  #malformed = 0;
  #closing = false;
  #ended = false;
  #throttleTimer: NodeJS.Timeout | undefined;
  #partialTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, surroundings: ConnectionSurroundings) {
    this.#socket = socket;
    this.#surroundings = surroundings;
    this.life = surroundings.life;
    socket.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    // Half closed: what was asked is still answered.
    socket.on("end", () => {
      this.#ended = true;
      this.#endIfAnswered();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closing = true;
      clearTimeout(this.#throttleTimer);
      clearTimeout(this.#partialTimer);
      for (const proceed of [...this.#awaited.values()]) {
        proceed();
      }
      surroundings.onClose();
    });
  }

  subscribe(kinds: readonly ControlEventKind[]): void {
    this.#subscribed.clear();
    for (const kind of kinds) {
      this.#subscribed.add(kind);
    }
  }

  notify(event: ControlEvent): void {
    if (this.#subscribed.has(event.kind)) {
      this.#send({ jsonrpc: "2.0", method: "event", params: event });
    }
  }

  /** Resolves when this subscriber has said `proceed` or is gone; null when it did not ask to be told. */
  announce(event: Extract<ControlEvent, { kind: "about-to-capture" }>): Promise<void> | null {
    if (!this.#subscribed.has(event.kind) || this.#closing) {
      return null;
    }
    const answered = new Promise<void>((resolve) => {
      this.#awaited.set(event.token, resolve);
    });
    this.notify(event);
    return answered;
  }

  /** The wait for this token is over. */
  forgetAnnouncement(token: string): void {
    this.#awaited.delete(token);
  }

  proceed(token: string): boolean {
    const awaited = this.#awaited.get(token);
    this.#awaited.delete(token);
    awaited?.();
    return awaited !== undefined;
  }

  /** Says why, and closes. Nothing more is read. */
  refuse(failure: Failure): void {
    if (this.#closing) {
      return;
    }
    this.#surroundings.log.warn(
      { capsule: this.life.capsuleId, code: failure.code },
      "a connection to a control socket was closed",
    );
    this.#send({ jsonrpc: "2.0", id: null, error: toRpcError(failure) });
    this.close();
  }

  close(): void {
    this.#closing = true;
    clearTimeout(this.#throttleTimer);
    clearTimeout(this.#partialTimer);
    this.#held = [];
    this.#socket.pause();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
  }

  #receive(chunk: Buffer): void {
    if (this.#closing) {
      return;
    }
    clearTimeout(this.#partialTimer);
    try {
      for (const line of this.#reader.push(chunk)) {
        // A refusal on the way empties what is held, and nothing more is taken.
        if (!this.#isClosing()) {
          this.#held.push(line);
          this.#serveHeld();
        }
      }
    } catch (error) {
      this.refuse(
        error instanceof LineTooLongError
          ? describeFailure("message-too-large", {
              happened: `A message is longer than the ${MAX_CONTROL_MESSAGE_BYTES} bytes that are allowed.`,
              unchanged: "It was not looked at.",
            })
          : describeFailure("invalid-message", {
              happened: "A message is not UTF-8 text.",
              remedy: "This socket speaks JSON-RPC 2.0, one message a line.",
            }),
      );
      return;
    }
    if (this.#reader.hasPartialLine) {
      this.#partialTimer = setTimeout(() => {
        this.refuse(
          describeFailure("invalid-message", {
            happened: `A message was begun and not ended within ${CONTROL_MESSAGE_TIMEOUT_MS / 1000} s.`,
          }),
        );
      }, CONTROL_MESSAGE_TIMEOUT_MS);
    }
  }

  #isClosing(): boolean {
    return this.#closing;
  }

  #serveHeld(): void {
    let served = 0;
    for (const line of this.#held) {
      if (!this.#surroundings.rate.take()) {
        break;
      }
      served += 1;
      this.#message(line);
      if (this.#isClosing()) {
        return;
      }
    }
    this.#held.splice(0, served);
    if (this.#held.length + this.#pending > MAX_CONTROL_PENDING) {
      this.#refuseFlood();
      return;
    }
    if (this.#held.length > 0) {
      this.#socket.pause();
      clearTimeout(this.#throttleTimer);
      this.#throttleTimer = setTimeout(() => {
        this.#serveHeld();
      }, THROTTLE_MS);
    } else if (this.#socket.isPaused()) {
      this.#socket.resume();
    }
    this.#endIfAnswered();
  }

  #message(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#malformedMessage("A message is not JSON.", rpcErrorNumbers["invalid-json"]);
      return;
    }
    const request = requestSchema.safeParse(message);
    if (!request.success) {
      this.#malformedMessage(
        Array.isArray(message)
          ? "Batches are not served."
          : "A message is not a JSON-RPC 2.0 request with an id.",
        rpcErrorNumbers["invalid-message"],
      );
      return;
    }
    const { id, method, params } = request.data;
    if (!isControlMethodName(method)) {
      this.#fail(
        id,
        describeFailure("unknown-method", {
          happened: `There is no method "${method}".`,
          remedy: "The client is probably newer than the agent.",
        }),
      );
      return;
    }
    if (this.#pending >= MAX_CONTROL_PENDING) {
      this.#refuseFlood();
      return;
    }
    this.#pending += 1;
    void this.#call(id, method, params ?? {});
  }

  async #call(id: RequestId, method: ControlMethodName, params: unknown): Promise<void> {
    try {
      const checked = controlMethods[method].params.safeParse(params);
      if (!checked.success) {
        const issue = checked.error.issues[0];
        const key = issue?.path.map(String).join(".") ?? "";
        const reason = issue?.message ?? "unknown";
        throw new FailureError(
          describeFailure("invalid-params", {
            happened: `The parameters of ${method} are not valid: ${key === "" ? "" : `"${key}" `}${reason.charAt(0).toLowerCase()}${reason.slice(1)}.`,
            unchanged: "Nothing was changed.",
            ...(key === "" ? {} : { key }),
          }),
        );
      }
      const answer = this.#surroundings.handle(method, checked.data, this);
      // What is known at once is answered at once, so that it never counts as unanswered.
      const result = answer instanceof Promise ? ((await answer) as unknown) : answer;
      this.#send({ jsonrpc: "2.0", id, result });
    } catch (error) {
      const failure = toFailure(error);
      if (!(error instanceof FailureError)) {
        this.#surroundings.log.error(
          { method, stack: error instanceof Error ? error.stack : String(error) },
          "a defect",
        );
      }
      this.#fail(id, failure);
    } finally {
      this.#pending -= 1;
      this.#endIfAnswered();
    }
  }

  #malformedMessage(happened: string, number: number): void {
    this.#malformed += 1;
    const failure = describeFailure("invalid-message", {
      happened,
      remedy: "This socket speaks JSON-RPC 2.0, one message a line.",
    });
    if (this.#malformed >= MAX_CONTROL_MALFORMED) {
      this.refuse(failure);
    } else {
      this.#send({ jsonrpc: "2.0", id: null, error: { ...toRpcError(failure), code: number } });
    }
  }

  #refuseFlood(): void {
    this.refuse(
      describeFailure("too-many", {
        happened: `This connection has more than ${MAX_CONTROL_PENDING} requests unanswered.`,
        remedy: "Wait for answers before you send more.",
      }),
    );
  }

  #fail(id: RequestId, failure: Failure): void {
    this.#send({ jsonrpc: "2.0", id, error: toRpcError(failure) });
  }

  #endIfAnswered(): void {
    if (this.#ended && this.#pending === 0 && this.#held.length === 0) {
      this.#socket.end();
    }
  }

  #send(message: object): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      return;
    }
    if (this.#socket.writableLength > MAX_CONTROL_UNREAD_BYTES) {
      this.#surroundings.log.warn(
        { capsule: this.life.capsuleId },
        "a connection to a control socket that reads nothing was closed",
      );
      this.#socket.destroy();
      return;
    }
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}
