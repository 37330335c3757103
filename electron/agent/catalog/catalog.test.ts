import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ImageRecord, OperationRecord } from "../../contract/index.js";
import { Catalog } from "./catalog.js";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torpor-catalog-"));
  file = join(folder, "catalog.sqlite");
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function imageRecord(change: Partial<ImageRecord> = {}): ImageRecord {
  return {
    id: "0123456789abcdef0123456789abcdef",
    applicationId: "demo",
    createdAt: "2026-01-31T12:00:00.000Z",
    trigger: "operator",
    label: "a label",
    state: "ok",
    stateReason: null,
    path: "/store/a.torpor",
    sizes: { systemStateBytes: 1, physicalBytes: 2, virtualBytes: 3 },
    fileBytes: 6,
    pauseMs: 1.5,
    durationMs: 20,
    processes: 1,
    threads: 2,
    compress: "lz4",
    parentId: null,
    lineageParentId: null,
    life: 1,
    verifiedAt: null,
    restoredAt: null,
    notes: ["a note"],
    pinned: true,
    remark: "before the update",
    healthyAt: "2026-01-31T16:00:00.000Z",
    suspectFor: ["crash"],
    failures: 2,
    ...change,
  };
}

it("gives back what was put in, also after it was closed", () => {
  const first = Catalog.open(file);
  first.images.put(imageRecord());
  first.close();
  const second = Catalog.open(file);
  expect(second.images.get(imageRecord().id)).toEqual(imageRecord());
  expect(second.images.getByPath("/store/a.torpor")).toEqual(imageRecord());
  second.close();
});

it("finds images by the beginning of their id and tells when there are several", () => {
  const catalog = Catalog.open(file);
  catalog.images.put(imageRecord());
  catalog.images.put(imageRecord({ id: `0123${"f".repeat(28)}`, path: "/store/b.torpor" }));
  expect(catalog.images.findByPrefix("01234")).toHaveLength(1);
  expect(catalog.images.findByPrefix("0123")).toHaveLength(2);
  expect(catalog.images.findByPrefix("ffff")).toHaveLength(0);
  catalog.close();
});

it("joins the timeline again where an image is taken out", () => {
  const catalog = Catalog.open(file);
  const a = imageRecord({ id: "a".repeat(32), path: "/a" });
  const b = imageRecord({ id: "b".repeat(32), path: "/b", lineageParentId: a.id });
  const c = imageRecord({ id: "c".repeat(32), path: "/c", lineageParentId: b.id });
  for (const image of [a, b, c]) {
    catalog.images.put(image);
  }
  catalog.images.delete(b);
  expect(catalog.images.get(c.id)?.lineageParentId).toBe(a.id);
  catalog.close();
});

it("keeps the plan of an operation while its record changes", () => {
  const catalog = Catalog.open(file);
  const record: OperationRecord = {
    id: "op-1",
    kind: "capture",
    applicationId: "demo",
    imageId: null,
    state: "running",
    phase: "memory",
    doneBytes: null,
    totalBytes: null,
    cancellable: true,
    startedAt: "2026-01-31T12:00:00.000Z",
    endedAt: null,
    result: null,
    error: null,
  };
  catalog.operations.put(record);
  catalog.operations.setPlan("op-1", { imagePath: "/store/x" });
  catalog.operations.put({ ...record, state: "cancelling" });
  expect(catalog.operations.unfinished()).toMatchObject([
    { plan: { imagePath: "/store/x" }, record: { state: "cancelling" } },
  ]);
  catalog.operations.put({ ...record, state: "succeeded", endedAt: "2026-01-31T12:00:01.000Z" });
  expect(catalog.operations.unfinished()).toEqual([]);
  expect(catalog.operations.list("demo", 10)).toHaveLength(1);
  catalog.close();
});

it("sets a damaged catalog aside and begins a new one", () => {
  writeFileSync(
    file,
    "this is not a database, and long enough not to be taken for an empty one".repeat(50),
  );
  const catalog = Catalog.open(file);
  expect(catalog.setAside).toMatch(/catalog\.sqlite\.damaged-/);
  expect(existsSync(catalog.setAside ?? "")).toBe(true);
  expect(catalog.images.list()).toEqual([]);
  catalog.close();
});

it("does not touch a catalog of a newer version", () => {
  const database = new Database(file);
  database.pragma("user_version = 999");
  database.close();
  expect(() => Catalog.open(file)).toThrow("written by a newer Torpor");
  expect(existsSync(file)).toBe(true);
});
