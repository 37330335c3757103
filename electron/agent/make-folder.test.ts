import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeFolder } from "./make-folder.js";

let place: string;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "torpor-folder-"));
});
afterEach(() => {
  rmSync(place, { recursive: true });
});

it("makes the folders above as well, and leaves one alone that is there", () => {
  makeFolder(join(place, "a/b"), 0o700);
  makeFolder(join(place, "a/b"), 0o755);
  expect(statSync(join(place, "a/b")).mode & 0o777).toBe(0o700);
});

it("says so where a file is in the way", () => {
  writeFileSync(join(place, "file"), "");
  expect(() => makeFolder(join(place, "file"), 0o700)).toThrow(/EEXIST/);
  expect(() => makeFolder(join(place, "file/below"), 0o700)).toThrow(/ENOTDIR/);
});

it("comes to an end where no folder can be made, ever", () => {
  expect(() => makeFolder("/proc/torpor/home", 0o700)).toThrow(/ENOENT/);
});
