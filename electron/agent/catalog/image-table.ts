/** Boot images in the catalog. */
import type { Database, Statement } from "better-sqlite3";
import {
  imageRecordSchema,
  type ApplicationId,
  type ImageId,
  type ImageRecord,
} from "../../contract/index.js";

interface ImageRow {
  id: string;
  application_id: string;
  created_at: string;
  trigger: string;
  label: string | null;
  state: string;
  state_reason: string | null;
  path: string;
  system_state_bytes: number;
  physical_bytes: number;
  virtual_bytes: number;
  file_bytes: number;
  pause_ms: number | null;
  duration_ms: number | null;
  processes: number;
  threads: number | null;
  compress: string | null;
  parent_id: string | null;
  lineage_parent_id: string | null;
  life: number;
  verified_at: string | null;
  restored_at: string | null;
  notes: string;
  pinned: number;
  remark: string | null;
  healthy_at: string | null;
  suspect_for: string;
  failures: number;
}

const columns = [
  "id",
  "application_id",
  "created_at",
  "trigger",
  "label",
  "state",
  "state_reason",
  "path",
  "system_state_bytes",
  "physical_bytes",
  "virtual_bytes",
  "file_bytes",
  "pause_ms",
  "duration_ms",
  "processes",
  "threads",
  "compress",
  "parent_id",
  "lineage_parent_id",
  "life",
  "verified_at",
  "restored_at",
  "notes",
  "pinned",
  "remark",
  "healthy_at",
  "suspect_for",
  "failures",
] as const satisfies readonly (keyof ImageRow)[];

const newestFirst = "ORDER BY created_at DESC, rowid DESC";

export class ImageTable {
  readonly #put: Statement<[ImageRow]>;
  readonly #get: Statement<[string], ImageRow>;
  readonly #getByPath: Statement<[string], ImageRow>;
  readonly #byPrefix: Statement<[string], ImageRow>;
  readonly #all: Statement<[], ImageRow>;
  readonly #ofApplication: Statement<[string], ImageRow>;
  readonly #childrenOf: Statement<[string], ImageRow>;
  readonly #relink: Statement<[string | null, string]>;
  readonly #delete: Statement<[string]>;
  readonly #countOf: Statement<[string], { count: number }>;
  readonly #newestOf: Statement<[string], { id: string }>;
  readonly #bytesOfAll: Statement<[], { bytes: number }>;
  readonly #bytesOfApplication: Statement<[string], { bytes: number }>;
  readonly #applicationIds: Statement<[], { application_id: string }>;

  constructor(database: Database) {
    const updates = columns
      .filter((column) => column !== "id")
      .map((column) => `${column} = excluded.${column}`);
    this.#put = database.prepare(
      `INSERT INTO images (${columns.join(", ")}) VALUES (${columns.map((column) => `@${column}`).join(", ")})
       ON CONFLICT (id) DO UPDATE SET ${updates.join(", ")}`,
    );
    this.#get = database.prepare("SELECT * FROM images WHERE id = ?");
    this.#getByPath = database.prepare("SELECT * FROM images WHERE path = ?");
    // The reference is hexadecimal (checked at the boundary), so it holds no pattern characters.
    this.#byPrefix = database.prepare("SELECT * FROM images WHERE id LIKE ? || '%' LIMIT 3");
    this.#all = database.prepare(`SELECT * FROM images ${newestFirst}`);
    this.#ofApplication = database.prepare(
      `SELECT * FROM images WHERE application_id = ? ${newestFirst}`,
    );
    this.#childrenOf = database.prepare("SELECT * FROM images WHERE parent_id = ?");
    this.#relink = database.prepare(
      "UPDATE images SET lineage_parent_id = ? WHERE lineage_parent_id = ?",
    );
    this.#delete = database.prepare("DELETE FROM images WHERE id = ?");
    this.#countOf = database.prepare(
      "SELECT count(*) AS count FROM images WHERE application_id = ?",
    );
    this.#newestOf = database.prepare(
      `SELECT id FROM images WHERE application_id = ? ${newestFirst} LIMIT 1`,
    );
    const sum = "SELECT coalesce(sum(file_bytes), 0) AS bytes FROM images WHERE state <> 'missing'";
    this.#bytesOfAll = database.prepare(sum);
    this.#bytesOfApplication = database.prepare(`${sum} AND application_id = ?`);
    this.#applicationIds = database.prepare("SELECT DISTINCT application_id FROM images");
  }

  put(image: ImageRecord): void {
    this.#put.run(toRow(image));
  }

  get(id: ImageId): ImageRecord | null {
    return orNull(this.#get.get(id));
  }

  getByPath(path: string): ImageRecord | null {
    return orNull(this.#getByPath.get(path));
  }

  /** Up to three images whose id begins so: none, the one, or proof that there are several. */
  findByPrefix(prefix: string): ImageRecord[] {
    return this.#byPrefix.all(prefix).map(toRecord);
  }

  list(application?: ApplicationId): ImageRecord[] {
    const rows = application === undefined ? this.#all.all() : this.#ofApplication.all(application);
    return rows.map(toRecord);
  }

  /** Images that are increments of this one and can't be restored without it. */
  childrenOf(id: ImageId): ImageRecord[] {
    return this.#childrenOf.all(id).map(toRecord);
  }

  /** All files of one store or of one application, in bytes; what is missing takes no room. */
  bytesOf(application: ApplicationId | null): number {
    const row =
      application === null ? this.#bytesOfAll.get() : this.#bytesOfApplication.get(application);
    return row?.bytes ?? 0;
  }

  /** Removes an image; the points after it on the timeline then follow the one before it. */
  delete(image: ImageRecord): void {
    this.#relink.run(image.lineageParentId, image.id);
    this.#delete.run(image.id);
  }

  countOf(application: ApplicationId): number {
    return this.#countOf.get(application)?.count ?? 0;
  }

  newestIdOf(application: ApplicationId): ImageId | null {
    return this.#newestOf.get(application)?.id ?? null;
  }

  /** Applications that have images, configured or not. */
  applicationIds(): ApplicationId[] {
    return this.#applicationIds.all().map((row) => row.application_id);
  }
}

function orNull(row: ImageRow | undefined): ImageRecord | null {
  return row === undefined ? null : toRecord(row);
}

function toRow(image: ImageRecord): ImageRow {
  return {
    id: image.id,
    application_id: image.applicationId,
    created_at: image.createdAt,
    trigger: image.trigger,
    label: image.label,
    state: image.state,
    state_reason: image.stateReason,
    path: image.path,
    system_state_bytes: image.sizes.systemStateBytes,
    physical_bytes: image.sizes.physicalBytes,
    virtual_bytes: image.sizes.virtualBytes,
    file_bytes: image.fileBytes,
    pause_ms: image.pauseMs,
    duration_ms: image.durationMs,
    processes: image.processes,
    threads: image.threads,
    compress: image.compress,
    parent_id: image.parentId,
    lineage_parent_id: image.lineageParentId,
    life: image.life,
    verified_at: image.verifiedAt,
    restored_at: image.restoredAt,
    notes: JSON.stringify(image.notes),
    pinned: image.pinned ? 1 : 0,
    remark: image.remark,
    healthy_at: image.healthyAt,
    suspect_for: JSON.stringify(image.suspectFor),
    failures: image.failures,
  };
}

function toRecord(row: ImageRow): ImageRecord {
  return imageRecordSchema.parse({
    id: row.id,
    applicationId: row.application_id,
    createdAt: row.created_at,
    trigger: row.trigger,
    label: row.label,
    state: row.state,
    stateReason: row.state_reason,
    path: row.path,
    sizes: {
      systemStateBytes: row.system_state_bytes,
      physicalBytes: row.physical_bytes,
      virtualBytes: row.virtual_bytes,
    },
    fileBytes: row.file_bytes,
    pauseMs: row.pause_ms,
    durationMs: row.duration_ms,
    processes: row.processes,
    threads: row.threads,
    compress: row.compress,
    parentId: row.parent_id,
    lineageParentId: row.lineage_parent_id,
    life: row.life,
    verifiedAt: row.verified_at,
    restoredAt: row.restored_at,
    notes: JSON.parse(row.notes) as unknown,
    pinned: row.pinned !== 0,
    remark: row.remark,
    healthyAt: row.healthy_at,
    suspectFor: JSON.parse(row.suspect_for) as unknown,
    failures: row.failures,
  });
}
