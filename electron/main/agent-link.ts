// The panel's one connection to the agent: kept up for as long as the panel runs, tried again with
// growing pauses when it is lost, and never more than the operator socket offers.
import { AgentClient } from "../contract/client.js";
import type { EventPayload } from "../contract/events.js";
import { describeFailure, FailureError, toFailure, type Failure } from "../contract/failure.js";
import type { MethodName, MethodParams, MethodResult } from "../contract/methods.js";
import {
  panelAgentEvents,
  type AgentEventMessage,
  type ConnectionState,
} from "../contract/panel-channels.js";
import { reconnectDelayMs } from "./reconnect-delay.js";

export interface AgentLinkListener {
  stateChanged(state: ConnectionState): void;
  eventReceived(message: AgentEventMessage): void;
  displayOutput(payload: EventPayload<"display.output">): void;
  displayClosed(payload: EventPayload<"display.closed">): void;
}

export class AgentLink {
  readonly #socketPath: string;
  readonly #listener: AgentLinkListener;
  #state: ConnectionState;
  #client: AgentClient | null = null;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  #lostSince: string | null = null;
  #connecting = false;
  #closed = false;

  constructor(socketPath: string, listener: AgentLinkListener) {
    this.#socketPath = socketPath;
    this.#listener = listener;
    this.#state = { kind: "connecting", socketPath };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  open(): void {
    void this.#attempt();
  }

  /** The operator asks not to wait for the next attempt. */
  retryNow(): void {
    if (this.#client !== null || this.#connecting || this.#closed) return;
    clearTimeout(this.#timer);
    this.#attempts = 0;
    void this.#attempt();
  }

  call<M extends MethodName>(method: M, params: MethodParams<M>): Promise<MethodResult<M>> {
    if (this.#client === null) return Promise.reject(new FailureError(this.#notConnected()));
    return this.#client.call(method, params);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client?.close();
  }

  async #attempt(): Promise<void> {
    this.#connecting = true;
    try {
      const client = await AgentClient.connect(this.#socketPath);
      await this.#adopt(client);
    } catch (error) {
      this.#lose(toFailure(error));
    } finally {
      this.#connecting = false;
    }
  }

  async #adopt(client: AgentClient): Promise<void> {
    for (const event of panelAgentEvents) {
      client.on(event, (payload) => {
        this.#listener.eventReceived({ event, payload } as AgentEventMessage);
      });
    }
    client.on("display.output", (payload) => this.#listener.displayOutput(payload));
    client.on("display.closed", (payload) => this.#listener.displayClosed(payload));
    // An agent that accepts and then says nothing is no better than none.
    const ended = client.closed.then((reason) => {
      throw new FailureError(reason ?? this.#notConnected());
    });
    ended.catch(() => undefined);
    try {
      await Promise.race([
        client.call("events.subscribe", { events: [...panelAgentEvents] }),
        ended,
      ]);
    } catch (error) {
      client.close();
      throw error;
    }
    if (this.#closed) {
      client.close();
      return;
    }
    this.#client = client;
    this.#attempts = 0;
    this.#lostSince = null;
    this.#setState({
      kind: "connected",
      socketPath: this.#socketPath,
      since: new Date().toISOString(),
    });
    void client.closed.then((reason) => {
      this.#client = null;
      if (this.#closed) return;
      this.#lostSince = new Date().toISOString();
      this.#lose(reason ?? this.#notConnected());
    });
  }

  #lose(failure: Failure): void {
    if (this.#closed) return;
    this.#attempts += 1;
    const waitMs = reconnectDelayMs(this.#attempts);
    this.#setState({
      kind: "lost",
      socketPath: this.#socketPath,
      since: this.#lostSince,
      failure,
      attempts: this.#attempts,
      nextAttemptAt: new Date(Date.now() + waitMs).toISOString(),
    });
    this.#timer = setTimeout(() => {
      void this.#attempt();
    }, waitMs);
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.#listener.stateChanged(state);
  }

  #notConnected(): Failure {
    return describeFailure("agent-unreachable", {
      happened: "The panel is not connected to the agent.",
      unchanged: "Nothing was done; applications run on without the agent.",
      remedy: "Start the agent; the panel connects by itself.",
    });
  }
}
