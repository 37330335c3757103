/**
 * The requests for checkpoints that this agent has heard of, by application: what is still under way, and
 * what became of the latest. What must outlive the agent is in the images themselves, failures in the catalog.
 */
import {
  MAX_REMEMBERED_TICKETS,
  type ApplicationId,
  type CapsuleId,
  type CheckpointOutcome,
  type Ticket,
} from "../../contract/index.js";

export interface TicketEntry {
  readonly ticket: Ticket;
  /** The life that asked. */
  readonly capsuleId: CapsuleId;
  /** Null while it is under way. */
  outcome: CheckpointOutcome | null;
  /** `Date.now()` when it ended. */
  endedAt: number | null;
  readonly settled: Promise<CheckpointOutcome>;
  settle(outcome: CheckpointOutcome): void;
}

export class TicketBook {
  readonly #entries = new Map<ApplicationId, Map<Ticket, TicketEntry>>();

  begin(application: ApplicationId, ticket: Ticket, capsuleId: CapsuleId): TicketEntry {
    const entries = this.#entries.get(application) ?? new Map<Ticket, TicketEntry>();
    this.#entries.set(application, entries);
    let resolve: (outcome: CheckpointOutcome) => void = () => undefined;
    const settled = new Promise<CheckpointOutcome>((done) => {
      resolve = done;
    });
    const entry: TicketEntry = {
      ticket,
      capsuleId,
      outcome: null,
      endedAt: null,
      settled,
      settle: (outcome) => {
        entry.outcome = outcome;
        entry.endedAt = Date.now();
        resolve(outcome);
      },
    };
    entries.set(ticket, entry);
    this.#trim(entries);
    return entry;
  }

  find(application: ApplicationId, ticket: Ticket): TicketEntry | null {
    return this.#entries.get(application)?.get(ticket) ?? null;
  }

  /** Those under way, the oldest first: an image that is taken now answers all of them. */
  open(application: ApplicationId): readonly Ticket[] {
    return [...(this.#entries.get(application)?.values() ?? [])]
      .filter(({ outcome }) => outcome === null)
      .map(({ ticket }) => ticket);
  }

  /** The oldest that have ended go first; what is under way is bounded elsewhere. */
  #trim(entries: Map<Ticket, TicketEntry>): void {
    for (const [ticket, { outcome }] of entries) {
      if (entries.size <= MAX_REMEMBERED_TICKETS) {
        return;
      }
      if (outcome !== null) {
        entries.delete(ticket);
      }
    }
  }
}
