/** What became of requests for a checkpoint: the images that answer them, and those that came to nothing. */
import type { Database, Statement } from "better-sqlite3";
import {
  failureCodeSchema,
  MAX_REMEMBERED_TICKETS,
  type ApplicationId,
  type CapsuleId,
  type CheckpointOutcome,
  type ImageId,
  type Ticket,
} from "../../contract/index.js";

/** A request that failed, as it was told. */
export interface FailedTicket {
  readonly capsuleId: CapsuleId;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
  readonly outcome: Extract<CheckpointOutcome, { outcome: "failed" }>;
}

interface FailedRow {
  application_id: string;
  ticket: string;
  capsule_id: string;
  ended_at: number;
  code: string;
  message: string;
}

export class TicketTable {
  readonly #put: Statement<[string, string, string, number]>;
  readonly #isOf: Statement<[string, string], { found: number }>;
  readonly #askedFor: Statement<[string, string], { image_id: string }>;
  readonly #putFailed: Statement<[FailedRow]>;
  readonly #trimFailed: Statement<[string, string, number]>;
  readonly #failed: Statement<[string, string], FailedRow>;

  constructor(database: Database) {
    this.#put = database.prepare(
      `INSERT INTO checkpoint_tickets (application_id, ticket, image_id, asked) VALUES (?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    );
    this.#isOf = database.prepare(
      "SELECT 1 AS found FROM checkpoint_tickets WHERE image_id = ? AND ticket = ?",
    );
    this.#askedFor = database.prepare(
      "SELECT image_id FROM checkpoint_tickets WHERE application_id = ? AND ticket = ? AND asked = 1",
    );
    this.#putFailed = database.prepare(
      `INSERT INTO failed_tickets (application_id, ticket, capsule_id, ended_at, code, message)
       VALUES (@application_id, @ticket, @capsule_id, @ended_at, @code, @message)
       ON CONFLICT DO NOTHING`,
    );
    this.#trimFailed = database.prepare(
      `DELETE FROM failed_tickets WHERE application_id = ? AND id NOT IN
         (SELECT id FROM failed_tickets WHERE application_id = ? ORDER BY id DESC LIMIT ?)`,
    );
    this.#failed = database.prepare(
      "SELECT * FROM failed_tickets WHERE application_id = ? AND ticket = ?",
    );
  }

  /** The image must be in the catalog already. */
  put(
    application: ApplicationId,
    image: ImageId,
    tickets: { readonly asked: Ticket | null; readonly waiting: readonly Ticket[] },
  ): void {
    if (tickets.asked !== null) {
      this.#put.run(application, tickets.asked, image, 1);
    }
    for (const ticket of tickets.waiting) {
      this.#put.run(application, ticket, image, 0);
    }
  }

  /** Whether the request was under way when the image was taken. */
  isOf(image: ImageId, ticket: Ticket): boolean {
    return this.#isOf.get(image, ticket) !== undefined;
  }

  /** The image that was taken for this request. */
  imageAskedFor(application: ApplicationId, ticket: Ticket): ImageId | null {
    return this.#askedFor.get(application, ticket)?.image_id ?? null;
  }

  /** The oldest failures of the application are forgotten beyond `MAX_REMEMBERED_TICKETS`. */
  putFailed(application: ApplicationId, ticket: Ticket, failed: FailedTicket): void {
    this.#putFailed.run({
      application_id: application,
      ticket,
      capsule_id: failed.capsuleId,
      ended_at: failed.endedAt,
      code: failed.outcome.code,
      message: failed.outcome.message,
    });
    this.#trimFailed.run(application, application, MAX_REMEMBERED_TICKETS);
  }

  failed(application: ApplicationId, ticket: Ticket): FailedTicket | null {
    const row = this.#failed.get(application, ticket);
    return row === undefined
      ? null
      : {
          capsuleId: row.capsule_id,
          endedAt: row.ended_at,
          outcome: {
            outcome: "failed",
            code: failureCodeSchema.catch("internal").parse(row.code),
            message: row.message,
          },
        };
  }
}
