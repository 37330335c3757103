/** Occurrences with what was decided about each, and where an application stands between two lives. */
import type { Database, Statement } from "better-sqlite3";
import {
  occurrenceRecordSchema,
  type ApplicationId,
  type OccurrenceRecord,
} from "../../contract/index.js";

interface Row {
  id: number;
  record: string;
}

/** Of one application; more than anybody reads, and an application that crashes for weeks fills no disk. */
const KEPT = 5000;

export class OccurrenceTable {
  readonly #insert: Statement<[string, string, number | null, string]>;
  readonly #update: Statement<[number | null, string, number]>;
  readonly #get: Statement<[number], Row>;
  readonly #ofApplication: Statement<[string, number], Row>;
  readonly #all: Statement<[number], Row>;
  readonly #ofLife: Statement<[string, number], Row>;
  readonly #open: Statement<[], Row>;
  readonly #trim: Statement<[string, string, number]>;
  readonly #putEpisode: Statement<[string, string]>;
  readonly #getEpisode: Statement<[string], { state: string }>;
  readonly #deleteEpisode: Statement<[string]>;

  constructor(database: Database) {
    this.#insert = database.prepare(
      "INSERT INTO occurrences (application_id, at, life, record) VALUES (?, ?, ?, ?)",
    );
    this.#update = database.prepare("UPDATE occurrences SET life = ?, record = ? WHERE id = ?");
    this.#get = database.prepare("SELECT id, record FROM occurrences WHERE id = ?");
    this.#ofApplication = database.prepare(
      "SELECT id, record FROM occurrences WHERE application_id = ? ORDER BY id DESC LIMIT ?",
    );
    this.#all = database.prepare("SELECT id, record FROM occurrences ORDER BY id DESC LIMIT ?");
    this.#ofLife = database.prepare(
      "SELECT id, record FROM occurrences WHERE application_id = ? AND life = ? ORDER BY id DESC LIMIT 1",
    );
    this.#open = database.prepare(
      "SELECT id, record FROM occurrences WHERE json_extract(record, '$.state') IN ('waiting', 'acting')",
    );
    this.#trim = database.prepare(
      `DELETE FROM occurrences WHERE application_id = ? AND id <= (
         SELECT id FROM occurrences WHERE application_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
    );
    this.#putEpisode = database.prepare(
      "INSERT OR REPLACE INTO episodes (application_id, state) VALUES (?, ?)",
    );
    this.#getEpisode = database.prepare("SELECT state FROM episodes WHERE application_id = ?");
    this.#deleteEpisode = database.prepare("DELETE FROM episodes WHERE application_id = ?");
  }

  add(record: Omit<OccurrenceRecord, "id">): OccurrenceRecord {
    const { lastInsertRowid } = this.#insert.run(
      record.applicationId,
      record.at,
      record.life,
      JSON.stringify(record),
    );
    this.#trim.run(record.applicationId, record.applicationId, KEPT);
    return { ...record, id: Number(lastInsertRowid) };
  }

  put(record: OccurrenceRecord): void {
    this.#update.run(record.life, JSON.stringify(record), record.id);
  }

  get(id: number): OccurrenceRecord | null {
    const row = this.#get.get(id);
    return row === undefined ? null : toRecord(row);
  }

  /** Newest first. */
  list(application: ApplicationId | null, limit: number): OccurrenceRecord[] {
    const rows =
      application === null ? this.#all.all(limit) : this.#ofApplication.all(application, limit);
    return rows.map(toRecord);
  }

  /** Why this life exists; null for one that was started by hand. */
  ofLife(application: ApplicationId, life: number): OccurrenceRecord | null {
    const row = this.#ofLife.get(application, life);
    return row === undefined ? null : toRecord(row);
  }

  /** Those whose attempt has not ended. */
  unfinished(): OccurrenceRecord[] {
    return this.#open.all().map(toRecord);
  }

  episode(application: ApplicationId): unknown {
    const row = this.#getEpisode.get(application);
    return row === undefined ? null : (JSON.parse(row.state) as unknown);
  }

  setEpisode(application: ApplicationId, state: object | null): void {
    if (state === null) {
      this.#deleteEpisode.run(application);
    } else {
      this.#putEpisode.run(application, JSON.stringify(state));
    }
  }
}

function toRecord(row: Row): OccurrenceRecord {
  return occurrenceRecordSchema.parse({ ...(JSON.parse(row.record) as object), id: row.id });
}
