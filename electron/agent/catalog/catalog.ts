/**
 * The SQLite catalog: opens it, brings it up to date, and sets a damaged one aside, because all that
 * matters in it can be read from the image files again.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import Database, { type Database as DatabaseType } from "better-sqlite3";
import { ApplicationTable } from "./application-table.js";
import { AuditTable } from "./audit-table.js";
import { ImageTable } from "./image-table.js";
import { migrate } from "./migrations.js";
import { NoticeTable } from "./notice-table.js";
import { OccurrenceTable } from "./occurrence-table.js";
import { OperationTable } from "./operation-table.js";
import { RemovalTable } from "./removal-table.js";
import { SessionTable } from "./session-table.js";
import { TicketTable } from "./ticket-table.js";

export class Catalog {
  readonly images: ImageTable;
  readonly applications: ApplicationTable;
  readonly operations: OperationTable;
  readonly notices: NoticeTable;
  readonly audit: AuditTable;
  readonly occurrences: OccurrenceTable;
  readonly removals: RemovalTable;
  readonly sessions: SessionTable;
  readonly tickets: TicketTable;
  /** Where a damaged catalog was put when this one was opened; null when nothing was wrong. */
  readonly setAside: string | null;
  readonly #database: DatabaseType;

  private constructor(database: DatabaseType, setAside: string | null) {
    this.#database = database;
    this.setAside = setAside;
    this.images = new ImageTable(database);
    this.applications = new ApplicationTable(database);
    this.operations = new OperationTable(database);
    this.notices = new NoticeTable(database);
    this.audit = new AuditTable(database);
    this.occurrences = new OccurrenceTable(database);
    this.removals = new RemovalTable(database);
    this.sessions = new SessionTable(database);
    this.tickets = new TicketTable(database);
  }

  static open(file: string, now: Date = new Date()): Catalog {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    try {
      return new Catalog(openDatabase(file), null);
    } catch (error) {
      if (!isDamage(error)) {
        throw error;
      }
      const aside = `${file}.damaged-${now.toISOString().replaceAll(/[-:.]/g, "")}`;
      renameSync(file, aside);
      // The write-ahead log belongs to the damaged file; beside a new one it would be applied to it.
      rmSync(`${file}-wal`, { force: true });
      rmSync(`${file}-shm`, { force: true });
      return new Catalog(openDatabase(file), aside);
    }
  }

  transaction<T>(work: () => T): T {
    return this.#database.transaction(work)();
  }

  close(): void {
    this.#database.close();
  }
}

function openDatabase(file: string): DatabaseType {
  const database = new Database(file, { timeout: 2000 });
  try {
    database.pragma("journal_mode = WAL");
    // What was acknowledged must survive a power failure.
    database.pragma("synchronous = FULL");
    database.pragma("foreign_keys = ON");
    const check = database.pragma("quick_check(1)", { simple: true });
    if (check !== "ok") {
      throw new DamagedCatalogError(String(check));
    }
    migrate(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class DamagedCatalogError extends Error {}

function isDamage(error: unknown): boolean {
  if (error instanceof DamagedCatalogError) {
    return true;
  }
  const code = error instanceof Database.SqliteError ? error.code : "";
  return code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT");
}
