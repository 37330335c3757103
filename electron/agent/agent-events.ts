/** What happens inside the agent, for whoever has to hear of it: the sockets, above all. */
import type { EventName, EventPayload } from "../contract/index.js";

/** Events of one terminal go straight to the connection that opened it, not through here. */
export type BroadcastEvent = Exclude<EventName, `terminal.${string}`>;

export type AgentEventListener = <E extends BroadcastEvent>(
  event: E,
  payload: EventPayload<E>,
) => void;

export class AgentEvents {
  readonly #listeners = new Set<AgentEventListener>();

  listen(listener: AgentEventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit<E extends BroadcastEvent>(event: E, payload: EventPayload<E>): void {
    for (const listener of this.#listeners) {
      listener(event, payload);
    }
  }
}
