// What makes a bundle out of date.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { cacheFolder, checkout } from "./paths.mjs";
import { hashOf, readStamp, writeStamp } from "./stamp.mjs";

let folder: string;
let inside: string;

beforeEach(() => {
  mkdirSync(cacheFolder, { recursive: true });
  folder = mkdtempSync(join(cacheFolder, "stamp-test-"));
  inside = relative(checkout, folder);
  writeFileSync(join(folder, "a.ts"), "one");
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("the hash follows contents and names, not times", () => {
  const before = hashOf([inside]);
  writeFileSync(join(folder, "a.ts"), "one");
  expect(hashOf([inside])).toBe(before);
  writeFileSync(join(folder, "a.ts"), "two");
  const changed = hashOf([inside]);
  expect(changed).not.toBe(before);
  writeFileSync(join(folder, "b.ts"), "");
  expect(hashOf([inside])).not.toBe(changed);
});

test("a test is no part of a bundle", () => {
  const before = hashOf([inside]);
  writeFileSync(join(folder, "a.test.ts"), "anything");
  expect(hashOf([inside])).toBe(before);
});

test("an input that is not there is none", () => {
  expect(hashOf([inside, join(inside, "never-was")])).toBe(hashOf([inside]));
});

test("a stamp is read back, and a missing one is told apart from an empty one", async () => {
  const file = join(folder, "deep/stamp");
  expect(readStamp(file)).toBeUndefined();
  await writeStamp(file, "abc");
  expect(readStamp(file)).toBe("abc");
});
