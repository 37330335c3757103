/** The audit: what was done to applications and images, and how it ended. */
import type { Database, Statement } from "better-sqlite3";
import { auditEntrySchema, type ApplicationId, type AuditEntry } from "../../contract/index.js";

interface Row {
  id: number;
  at: string;
  action: string;
  application_id: string | null;
  image_id: string | null;
  outcome: string;
}

/** Years of a workstation; a flood of requests must not fill the disk. */
const KEPT = 100_000;

export class AuditTable {
  readonly #add: Statement<[string, string, string | null, string | null, string]>;
  readonly #all: Statement<[number], Row>;
  readonly #ofApplication: Statement<[string, number], Row>;
  readonly #trim: Statement<[number]>;

  constructor(database: Database) {
    this.#add = database.prepare(
      "INSERT INTO audit (at, action, application_id, image_id, outcome) VALUES (?, ?, ?, ?, ?)",
    );
    this.#all = database.prepare("SELECT * FROM audit ORDER BY id DESC LIMIT ?");
    this.#ofApplication = database.prepare(
      "SELECT * FROM audit WHERE application_id = ? ORDER BY id DESC LIMIT ?",
    );
    this.#trim = database.prepare("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?");
  }

  add(entry: Omit<AuditEntry, "id" | "at">): void {
    this.#add.run(
      new Date().toISOString(),
      entry.action,
      entry.applicationId,
      entry.imageId,
      entry.outcome,
    );
    this.#trim.run(KEPT);
  }

  /** Newest first, also of applications that are gone. */
  list(application: ApplicationId | null, limit: number): AuditEntry[] {
    const rows =
      application === null ? this.#all.all(limit) : this.#ofApplication.all(application, limit);
    return rows.map((row) =>
      auditEntrySchema.parse({
        id: row.id,
        at: row.at,
        action: row.action,
        applicationId: row.application_id,
        imageId: row.image_id,
        outcome: row.outcome,
      }),
    );
  }
}
