/** Which requests for a checkpoint an image answers. */
import type { Database, Statement } from "better-sqlite3";
import type { ApplicationId, ImageId, Ticket } from "../../contract/index.js";

export class TicketTable {
  readonly #put: Statement<[string, string, string, number]>;
  readonly #isOf: Statement<[string, string], { found: number }>;
  readonly #askedFor: Statement<[string, string], { image_id: string }>;

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
}
