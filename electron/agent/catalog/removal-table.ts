/** Image files that are being deleted, so that no agent's end leaves half of a deletion. */
import type { Database, Statement } from "better-sqlite3";
import type { ImageId } from "../../contract/index.js";

export interface Removal {
  readonly imageId: ImageId;
  readonly path: string;
}

export class RemovalTable {
  readonly #add: Statement<[string, string]>;
  readonly #done: Statement<[string]>;
  readonly #all: Statement<[], { image_id: string; path: string }>;

  constructor(database: Database) {
    this.#add = database.prepare("INSERT OR REPLACE INTO removals (image_id, path) VALUES (?, ?)");
    this.#done = database.prepare("DELETE FROM removals WHERE image_id = ?");
    this.#all = database.prepare("SELECT * FROM removals");
  }

  add({ imageId, path }: Removal): void {
    this.#add.run(imageId, path);
  }

  done(imageId: ImageId): void {
    this.#done.run(imageId);
  }

  list(): Removal[] {
    return this.#all.all().map((row) => ({ imageId: row.image_id, path: row.path }));
  }
}
