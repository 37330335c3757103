/** The history of operations, and what an unfinished one needs for being cleared up by the next agent. */
import type { Database, Statement } from "better-sqlite3";
import {
  operationRecordSchema,
  z,
  type ApplicationId,
  type OperationRecord,
} from "../../contract/index.js";

/** Written before the step that it describes, so that no step can happen unknown. */
export const operationPlanSchema = z.object({
  /** Where the helper was told to write an image. */
  imagePath: z.string().optional(),
  /** The capsule that is being built. */
  capsuleId: z.string().optional(),
});
export type OperationPlan = z.infer<typeof operationPlanSchema>;

export interface UnfinishedOperation {
  readonly record: OperationRecord;
  readonly plan: OperationPlan;
}

interface OperationRow {
  id: string;
  kind: string;
  application_id: string;
  image_id: string | null;
  state: string;
  started_at: string;
  ended_at: string | null;
  plan: string | null;
  record: string;
}

/** History beyond this many operations is forgotten, oldest first. */
const KEPT_OPERATIONS = 5000;
/** Writes between two looks at the history's length. */
const TRIM_EVERY = 500;

export class OperationTable {
  readonly #put: Statement<[OperationRow]>;
  readonly #plan: Statement<[string, string]>;
  readonly #get: Statement<[string], OperationRow>;
  readonly #list: Statement<[{ application: string | null; limit: number }], OperationRow>;
  readonly #unfinished: Statement<[], OperationRow>;
  readonly #trim: Statement<[number]>;
  #puts = 0;

  constructor(database: Database) {
    this.#put = database.prepare(
      `INSERT INTO operations (id, kind, application_id, image_id, state, started_at, ended_at, plan, record)
       VALUES (@id, @kind, @application_id, @image_id, @state, @started_at, @ended_at, @plan, @record)
       ON CONFLICT (id) DO UPDATE SET image_id = excluded.image_id, state = excluded.state,
         ended_at = excluded.ended_at, record = excluded.record`,
    );
    this.#plan = database.prepare("UPDATE operations SET plan = ? WHERE id = ?");
    this.#get = database.prepare("SELECT * FROM operations WHERE id = ?");
    this.#list = database.prepare(
      `SELECT * FROM operations WHERE @application IS NULL OR application_id = @application
       ORDER BY started_at DESC, rowid DESC LIMIT @limit`,
    );
    this.#unfinished = database.prepare(
      "SELECT * FROM operations WHERE state IN ('running', 'cancelling')",
    );
    this.#trim = database.prepare(
      `DELETE FROM operations WHERE rowid <= (SELECT max(rowid) FROM operations) - ?
       AND state NOT IN ('running', 'cancelling')`,
    );
  }

  put(record: OperationRecord): void {
    // An application that asks for its own images may make thousands of operations between two starts.
    if (++this.#puts % TRIM_EVERY === 0) {
      this.trim();
    }
    this.#put.run({
      id: record.id,
      kind: record.kind,
      application_id: record.applicationId,
      image_id: record.imageId,
      state: record.state,
      started_at: record.startedAt,
      ended_at: record.endedAt,
      plan: null,
      record: JSON.stringify(record),
    });
  }

  setPlan(id: string, plan: OperationPlan): void {
    this.#plan.run(JSON.stringify(plan), id);
  }

  get(id: string): OperationRecord | null {
    const row = this.#get.get(id);
    return row === undefined ? null : toRecord(row);
  }

  list(application: ApplicationId | null, limit: number): OperationRecord[] {
    return this.#list
      .all({ application, limit })
      .map(toRecord)
      .filter((record) => record !== null);
  }

  unfinished(): UnfinishedOperation[] {
    return this.#unfinished.all().flatMap((row) => {
      const record = toRecord(row);
      const plan = operationPlanSchema
        .catch({})
        .parse(row.plan === null ? {} : JSON.parse(row.plan));
      return record === null ? [] : [{ record, plan }];
    });
  }

  trim(): void {
    this.#trim.run(KEPT_OPERATIONS);
  }
}

/** History is for reading only: a record that an earlier version wrote otherwise is left out. */
function toRecord(row: OperationRow): OperationRecord | null {
  const parsed = operationRecordSchema.safeParse(JSON.parse(row.record));
  return parsed.success ? parsed.data : null;
}
