import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Stores } from "./stores.js";

let base: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "torpor-stores-"));
});
afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

it("says of each store whether it can be used, and why not", () => {
  const good = join(base, "good");
  mkdirSync(good);
  writeFileSync(join(base, "file"), "");
  const stores = new Stores([
    good,
    join(base, "file"),
    join(base, "gone"),
    join(base, "file", "below"),
  ]);
  const [first, file, gone, below] = stores.list();
  expect(first).toMatchObject({ usable: true, problem: null });
  expect(first?.freeBytes).toBeGreaterThan(0);
  expect(file?.problem).toMatch(/is a file, not a folder/);
  expect(gone?.problem).toMatch(/is gone/);
  expect(below?.problem).toMatch(/lies below something that is not a folder/);
});

it("picks the stores with room, in their order", () => {
  const paths = ["b", "a"].map((name) => join(base, name));
  for (const path of paths) {
    mkdirSync(path);
  }
  const stores = new Stores([join(base, "gone"), ...paths]);
  expect(stores.withRoom(1000, "Capturing failed", "It runs on.")).toEqual(paths);
  expect(() => stores.withRoom(1e18, 'Capturing "Demo" failed', "It runs on.")).toThrow(
    /^Capturing "Demo" failed: about .* are needed, and .* free\. It runs on\. Delete or move images/,
  );
});

it("tells apart no room and no store", () => {
  const stores = new Stores([join(base, "gone")]);
  expect(() => stores.withRoom(1, "Capturing failed", "It runs on.")).toThrow(
    /no store can be used\. The store .* is gone/,
  );
});
