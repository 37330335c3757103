/**
 * One client of the operator socket. What it sends is bounded, checked and answered; a client that
 * misbehaves is told so and disconnected, and nobody else notices.
 */
import type { Socket } from "node:net";
import {
  describeFailure,
  eventNameSchema,
  FailureError,
  isMethodName,
  LineReader,
  LineTooLongError,
  MAX_MALFORMED_MESSAGES,
  MAX_PENDING_REQUESTS,
  MAX_REQUEST_BYTES,
  MAX_UNREAD_BYTES,
  MESSAGE_TIMEOUT_MS,
  methods,
  requestSchema,
  rpcErrorNumbers,
  toFailure,
  toRpcError,
  type ApplicationId,
  type EventName,
  type EventPayload,
  type Failure,
  type MethodName,
  type RequestId,
} from "../../contract/index.js";
import type { Logger } from "../log.js";
import type { DisplayOwner } from "../display/displays.js";
import type { TerminalOwner } from "../terminal/terminals.js";

/** What a connection needs of the agent. */
export interface ConnectionServices {
  handle(method: MethodName, params: unknown, client: Client): Promise<unknown>;
  disconnected(client: Client): void;
}

/** What a method sees of the connection that calls it. */
export interface Client extends TerminalOwner, DisplayOwner {
  subscribe(events: readonly EventName[] | null): readonly EventName[];
  unsubscribe(): void;
  watch(applications: ReadonlySet<ApplicationId>): void;
}

/** Above this, a terminal's output waits; the rest of the way to the limit is for answers and events. */
const CONGESTED_BYTES = 2 * 1024 * 1024;

export class Connection implements Client {
  readonly #socket: Socket;
  readonly #services: ConnectionServices;
  readonly #log: Logger;
  readonly #reader = new LineReader(MAX_REQUEST_BYTES);
  readonly #subscribed = new Set<EventName>();
  #watched: ReadonlySet<ApplicationId> = new Set();
  #malformed = 0;
  #pending = 0;
  #partialTimer: NodeJS.Timeout | null = null;
  #refused = false;

  constructor(socket: Socket, services: ConnectionServices, log: Logger, onClose: () => void) {
    this.#socket = socket;
    this.#services = services;
    this.#log = log;
    socket.on("data", (chunk) => {
      this.#receive(chunk);
    });
    socket.on("error", (error) => {
      this.#log.debug({ error: error.message }, "a client connection failed");
    });
    socket.on("close", () => {
      clearTimeout(this.#partialTimer ?? undefined);
      onClose();
      services.disconnected(this);
    });
  }

  end(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }

  subscribe(events: readonly EventName[] | null): readonly EventName[] {
    this.#subscribed.clear();
    for (const event of events ?? eventNameSchema.options) {
      this.#subscribed.add(event);
    }
    return [...this.#subscribed];
  }

  unsubscribe(): void {
    this.#subscribed.clear();
  }

  watch(applications: ReadonlySet<ApplicationId>): void {
    this.#watched = applications;
  }

  /** An event for everybody who wants it. */
  notify<E extends EventName>(event: E, payload: EventPayload<E>): void {
    if (!this.#subscribed.has(event)) {
      return;
    }
    if (
      event === "application.measured" &&
      !this.#watched.has((payload as EventPayload<"application.measured">).applicationId)
    ) {
      return;
    }
    this.#send({ jsonrpc: "2.0", method: event, params: payload });
  }

  sendTerminalEvent<E extends `terminal.${"output" | "resized" | "closed"}`>(
    event: E,
    payload: EventPayload<E>,
  ): void {
    this.#send({ jsonrpc: "2.0", method: event, params: payload });
  }

  sendDisplayEvent<E extends `display.${"output" | "closed"}`>(
    event: E,
    payload: EventPayload<E>,
  ): void {
    this.#send({ jsonrpc: "2.0", method: event, params: payload });
  }

  get congested(): boolean {
    return this.#socket.writableLength > CONGESTED_BYTES;
  }

  onceDrained(callback: () => void): void {
    this.#socket.once("drain", callback);
  }

  #receive(chunk: Buffer): void {
    if (this.#refused) {
      return;
    }
    try {
      for (const line of this.#reader.push(chunk)) {
        this.#message(line);
      }
    } catch (error) {
      this.#refuse(
        error instanceof LineTooLongError
          ? describeFailure("message-too-large", {
              happened: `A message is longer than the ${MAX_REQUEST_BYTES} bytes that are allowed.`,
              unchanged: "It was not looked at.",
            })
          : describeFailure("invalid-message", {
              happened: "A message is not UTF-8 text.",
              remedy: "This socket speaks JSON-RPC 2.0, one message a line.",
            }),
      );
      return;
    }
    clearTimeout(this.#partialTimer ?? undefined);
    this.#partialTimer = null;
    if (this.#reader.hasPartialLine) {
      this.#partialTimer = setTimeout(() => {
        this.#refuse(
          describeFailure("invalid-message", {
            happened: `A message was begun and not ended within ${MESSAGE_TIMEOUT_MS / 1000} s.`,
          }),
        );
      }, MESSAGE_TIMEOUT_MS);
    }
  }

  #message(line: string): void {
    if (this.#refused) {
      return;
    }
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#malformedMessage(null, "A message is not JSON.", rpcErrorNumbers["invalid-json"]);
      return;
    }
    const request = requestSchema.safeParse(message);
    if (!request.success) {
      const what = Array.isArray(message)
        ? "Batches are not served."
        : "A message is not a JSON-RPC 2.0 request.";
      this.#malformedMessage(requestIdOf(message), what, rpcErrorNumbers["invalid-message"]);
      return;
    }
    const { id, method, params } = request.data;
    if (!isMethodName(method)) {
      this.#fail(
        id,
        describeFailure("unknown-method", {
          happened: `There is no method "${method}".`,
          remedy: "The client is probably newer than the agent: restart the agent.",
        }),
      );
      return;
    }
    if (this.#pending >= MAX_PENDING_REQUESTS) {
      this.#fail(
        id,
        describeFailure("too-many", {
          happened: `This client has ${MAX_PENDING_REQUESTS} requests unanswered already.`,
          remedy: "Wait for answers before you send more.",
        }),
      );
      return;
    }
    this.#pending += 1;
    void this.#call(id, method, params ?? {}).finally(() => {
      this.#pending -= 1;
    });
  }

  async #call(id: RequestId, method: MethodName, params: unknown): Promise<void> {
    try {
      const checked = methods[method].params.safeParse(params);
      if (!checked.success) {
        const issue = checked.error.issues[0];
        const key = issue?.path.map(String).join(".") ?? "";
        throw new FailureError(
          describeFailure("invalid-params", {
            happened: `The parameters of ${method} are not valid: ${key === "" ? "" : `"${key}" `}${lowerFirst(issue?.message ?? "unknown")}.`,
            unchanged: "Nothing was changed.",
            ...(key === "" ? {} : { key }),
          }),
        );
      }
      const result = await this.#services.handle(method, checked.data, this);
      this.#send({ jsonrpc: "2.0", id, result });
    } catch (error) {
      const failure = toFailure(error);
      if (failure.code === "internal" && !(error instanceof FailureError)) {
        this.#log.error(
          { method, stack: error instanceof Error ? error.stack : String(error) },
          "a defect",
        );
      }
      this.#fail(id, failure);
    }
  }

  #malformedMessage(id: RequestId | null, happened: string, number: number): void {
    this.#malformed += 1;
    const failure = describeFailure("invalid-message", {
      happened,
      remedy: "This socket speaks JSON-RPC 2.0, one message a line.",
    });
    if (this.#malformed >= MAX_MALFORMED_MESSAGES) {
      this.#refuse(failure);
      return;
    }
    this.#send({ jsonrpc: "2.0", id, error: { ...toRpcError(failure), code: number } });
  }

  #fail(id: RequestId, failure: Failure): void {
    this.#send({ jsonrpc: "2.0", id, error: toRpcError(failure) });
  }

  /** Says why and hangs up. */
  #refuse(failure: Failure): void {
    this.#refused = true;
    this.#log.warn({ code: failure.code }, "a client was disconnected");
    this.#send({ jsonrpc: "2.0", id: null, error: toRpcError(failure) });
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #send(message: object): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      return;
    }
    if (this.#socket.writableLength > MAX_UNREAD_BYTES) {
      this.#log.warn("a client that reads nothing was disconnected");
      this.#socket.destroy();
      return;
    }
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}

function requestIdOf(message: unknown): RequestId | null {
  const id = typeof message === "object" && message !== null && "id" in message ? message.id : null;
  return typeof id === "string"
    ? id.slice(0, 100)
    : Number.isSafeInteger(id)
      ? (id as number)
      : null;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
