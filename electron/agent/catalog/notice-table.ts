/** Notices, kept until an operator dismisses them. */
import type { Database, Statement } from "better-sqlite3";
import { noticeSchema, type Notice } from "../../contract/index.js";

interface NoticeRow {
  id: number;
  at: string;
  severity: string;
  application_id: string | null;
  message: string;
}

/** More than anybody reads; a flood of failures must not fill the disk. */
const KEPT_NOTICES = 1000;

export class NoticeTable {
  readonly #add: Statement<[string, string, string | null, string]>;
  readonly #list: Statement<[], NoticeRow>;
  readonly #dismiss: Statement<[number]>;
  readonly #dismissAll: Statement<[]>;
  readonly #trim: Statement<[number]>;

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
}
