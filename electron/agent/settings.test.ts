import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSettings } from "./settings.js";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torpor-settings-"));
  file = join(folder, "agent.toml");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function read(text: string): ReturnType<typeof readSettings> {
  writeFileSync(file, text);
  return readSettings(file, "/var/lib/torpor/store");
}

describe("agent.toml", () => {
  it("may be left out, and each key of it", () => {
    const defaults = {
      stores: ["/var/lib/torpor/store"],
      keepBytes: null,
      startAtOnce: 4,
      shutdownLimitMs: 80_000,
    };
    expect(readSettings(file, "/var/lib/torpor/store")).toEqual(defaults);
    expect(read("# nothing yet\n")).toEqual(defaults);
    expect(read('[keep]\nbytes = "2G"\n')).toEqual({ ...defaults, keepBytes: 2 * 1024 ** 3 });
  });

  it.each([
    ["stores = 3\n", 'line 1, key "stores": must be an array, not the number 3.'],
    ['stores = ["images"]\n', 'line 1, key "stores.0": must be an absolute path.'],
    [
      '\n[keep]\nbites = "2G"\n',
      'line 3, key "keep.bites": is not a known key; did you mean "bytes"?',
    ],
    [
      '[start]\nat-once = "many"\n',
      'line 2, key "start.at-once": must be a number, not the string "many".',
    ],
    ["[shutdown\n", "line 1: is not valid TOML"],
  ])("says file, line and key of what is wrong: %j", (text, message) => {
    expect(() => read(text)).toThrow(message);
    expect(() => read(text)).toThrow(`The agent's settings can't be used: ${file}, `);
  });
});
