/** The agent's last session: on which boot it ran, and whether it ended in order. */
import type { Database, Statement } from "better-sqlite3";

export interface Session {
  readonly bootId: string;
  readonly clean: boolean;
}

export class SessionTable {
  readonly #put: Statement<[string, number]>;
  readonly #get: Statement<[], { boot_id: string; clean: number }>;

  constructor(database: Database) {
    this.#put = database.prepare(
      "INSERT OR REPLACE INTO sessions (id, boot_id, clean) VALUES (1, ?, ?)",
    );
    this.#get = database.prepare("SELECT boot_id, clean FROM sessions WHERE id = 1");
  }

  last(): Session | null {
    const row = this.#get.get();
    return row === undefined ? null : { bootId: row.boot_id, clean: row.clean !== 0 };
  }

  put({ bootId, clean }: Session): void {
    this.#put.run(bootId, clean ? 1 : 0);
  }
}
