/** Notices, kept until an operator dismisses them, and the audit of what was asked for. */
import type { Database, Statement } from "better-sqlite3";
import {
  noticeSchema,
  type ApplicationId,
  type ImageId,
  type Notice,
} from "../../contract/index.js";

interface NoticeRow {
  id: number;
  at: string;
  severity: string;
  application_id: string | null;
  message: string;
}

/** More than anybody reads; a flood of failures must not fill the disk. */
const KEPT_NOTICES = 1000;
const KEPT_AUDIT_ENTRIES = 100_000;

export class NoticeTable {
  readonly #add: Statement<[string, string, string | null, string]>;
  readonly #list: Statement<[], NoticeRow>;
  readonly #dismiss: Statement<[number]>;
  readonly #dismissAll: Statement<[]>;
  readonly #trim: Statement<[number]>;
  readonly #audit: Statement<[string, string, string | null, string | null, string]>;
  readonly #trimAudit: Statement<[number]>;

  constructor(database: Database) {
    this.#add = database.prepare(
      "INSERT INTO notices (at, severity, application_id, message) VALUES (?, ?, ?, ?)",
    );
    this.#list = database.prepare("SELECT * FROM notices ORDER BY id DESC");
    this.#dismiss = database.prepare("DELETE FROM notices WHERE id = ?");
    this.#dismissAll = database.prepare("DELETE FROM notices");
    this.#trim = database.prepare(
      "DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ?",
    );
    this.#audit = database.prepare(
      "INSERT INTO audit (at, action, application_id, image_id, outcome) VALUES (?, ?, ?, ?, ?)",
    );
    this.#trimAudit = database.prepare(
      "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?",
    );
  }

  add(notice: Omit<Notice, "id">): Notice {
    const { lastInsertRowid } = this.#add.run(
      notice.at,
      notice.severity,
      notice.applicationId,
      notice.message,
    );
    this.#trim.run(KEPT_NOTICES);
    return { ...notice, id: Number(lastInsertRowid) };
  }

  list(): Notice[] {
    return this.#list.all().map((row) =>
      noticeSchema.parse({
        id: row.id,
        at: row.at,
        severity: row.severity,
        applicationId: row.application_id,
        message: row.message,
      }),
    );
  }

  dismiss(id: number | undefined): void {
    if (id === undefined) {
      this.#dismissAll.run();
    } else {
      this.#dismiss.run(id);
    }
  }

  /** What was asked for and how it ended: who could say later what was done to a workstation? */
  audit(entry: {
    action: string;
    applicationId: ApplicationId | null;
    imageId: ImageId | null;
    outcome: string;
  }): void {
    this.#audit.run(
      new Date().toISOString(),
      entry.action,
      entry.applicationId,
      entry.imageId,
      entry.outcome,
    );
    this.#trimAudit.run(KEPT_AUDIT_ENTRIES);
  }
}
