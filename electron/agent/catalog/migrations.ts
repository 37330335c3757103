/**
 * The catalog's tables, as steps from one version to the next. A step that has been released is never
 * edited: what changes later is a new step.
 */
import type { Database } from "better-sqlite3";

const steps: readonly string[] = [
  `
  CREATE TABLE images (
    id                TEXT PRIMARY KEY,
    application_id    TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    trigger           TEXT NOT NULL,
    label             TEXT,
    state             TEXT NOT NULL,
    state_reason      TEXT,
    path              TEXT NOT NULL UNIQUE,
    system_state_bytes INTEGER NOT NULL,
    physical_bytes    INTEGER NOT NULL,
    virtual_bytes     INTEGER NOT NULL,
    file_bytes        INTEGER NOT NULL,
    pause_ms          REAL,
    duration_ms       REAL,
    processes         INTEGER NOT NULL,
    threads           INTEGER,
    compress          TEXT,
    parent_id         TEXT,
    lineage_parent_id TEXT,
    life              INTEGER NOT NULL,
    verified_at       TEXT,
    restored_at       TEXT,
    notes             TEXT NOT NULL DEFAULT '[]'
  ) STRICT;
  CREATE INDEX images_of_application ON images (application_id, created_at DESC);
  CREATE INDEX images_of_parent ON images (parent_id) WHERE parent_id IS NOT NULL;

  CREATE TABLE applications (
    id                  TEXT PRIMARY KEY,
    -- The last life number given out; a number is never used twice, so capsule ids are unique.
    last_life           INTEGER NOT NULL DEFAULT 0,
    -- The life that is the application's; any other capsule of it is left over from unfinished work.
    current_life        INTEGER,
    current_image_id    TEXT,
    hibernated_image_id TEXT,
    state               TEXT NOT NULL DEFAULT 'stopped',
    state_reason        TEXT,
    state_since         TEXT NOT NULL,
    last_exit           TEXT,
    -- The boot during which an operator stopped or hibernated it: it is not started by itself in that one.
    held_in_boot        TEXT
  ) STRICT;

  CREATE TABLE operations (
    id             TEXT PRIMARY KEY,
    kind           TEXT NOT NULL,
    application_id TEXT NOT NULL,
    image_id       TEXT,
    state          TEXT NOT NULL,
    started_at     TEXT NOT NULL,
    ended_at       TEXT,
    -- What the next agent must know if this one dies in the middle.
    plan           TEXT,
    record         TEXT NOT NULL
  ) STRICT;
  CREATE INDEX operations_by_time ON operations (started_at DESC);

  CREATE TABLE notices (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             TEXT NOT NULL,
    severity       TEXT NOT NULL,
    application_id TEXT,
    message        TEXT NOT NULL
  ) STRICT;

  CREATE TABLE audit (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             TEXT NOT NULL,
    action         TEXT NOT NULL,
    application_id TEXT,
    image_id       TEXT,
    outcome        TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- Why the current life was restored.
  ALTER TABLE applications ADD COLUMN current_occurrence TEXT;

  -- Which requests of the application an image answers: the one that asked for it, and those that waited.
  CREATE TABLE checkpoint_tickets (
    application_id TEXT NOT NULL,
    ticket         TEXT NOT NULL,
    image_id       TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    -- 1 for the request that the image was taken for.
    asked          INTEGER NOT NULL,
    PRIMARY KEY (application_id, ticket, image_id)
  ) STRICT;
  CREATE INDEX tickets_of_image ON checkpoint_tickets (image_id);
  `,
  `
  ALTER TABLE images ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE images ADD COLUMN remark TEXT;
  ALTER TABLE images ADD COLUMN healthy_at TEXT;
  ALTER TABLE images ADD COLUMN suspect_for TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE images ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;

  -- Files that are being deleted: an agent that is killed in the middle leaves the rest to the next one.
  CREATE TABLE removals (
    image_id TEXT PRIMARY KEY,
    path     TEXT NOT NULL
  ) STRICT;

  CREATE TABLE occurrences (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    application_id TEXT NOT NULL,
    at             TEXT NOT NULL,
    -- The life that came of it, so that an application can be told why it lives.
    life           INTEGER,
    record         TEXT NOT NULL
  ) STRICT;
  CREATE INDEX occurrences_of_application ON occurrences (application_id, id DESC);

  -- Where an application stands between a failure and a healthy life.
  CREATE TABLE episodes (
    application_id TEXT PRIMARY KEY,
    state          TEXT NOT NULL
  ) STRICT;

  -- The boot that the agent last ran on, and whether it ended in order.
  CREATE TABLE sessions (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    clean   INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Requests for a checkpoint that came to nothing: no image carries them.
  CREATE TABLE failed_tickets (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    application_id TEXT NOT NULL,
    ticket         TEXT NOT NULL,
    -- The life that asked.
    capsule_id     TEXT NOT NULL,
    -- Milliseconds since 1970.
    ended_at       INTEGER NOT NULL,
    code           TEXT NOT NULL,
    message        TEXT NOT NULL,
    UNIQUE (application_id, ticket)
  ) STRICT;
  `,
];

/** Brings a catalog to this version. @throws when it was written by a newer one. */
export function migrate(database: Database): void {
  const version = Number(database.pragma("user_version", { simple: true }));
  if (version > steps.length) {
    throw new Error(
      `the catalog was written by a newer Torpor (its version is ${version}, this one knows ${steps.length})`,
    );
  }
  for (const [index, step] of steps.entries()) {
    if (index >= version) {
      database.transaction(() => {
        database.exec(step);
        database.pragma(`user_version = ${index + 1}`);
      })();
    }
  }
}
