import { expect, it } from "vitest";
import { ownerOfKey } from "./display-keys.js";

const key = (code: string, held: string) => ({
  code,
  ctrlKey: held.includes("ctrl"),
  shiftKey: held.includes("shift"),
  altKey: held.includes("alt"),
  metaKey: held.includes("meta"),
});

it("keeps one key to get out, and two for copied texts", () => {
  expect(ownerOfKey(key("F6", "ctrl"))).toBe("leave");
  expect(ownerOfKey(key("KeyC", "ctrl shift"))).toBe("copy");
  expect(ownerOfKey(key("KeyV", "ctrl shift"))).toBe("paste");
});

it("gives all others to the program", () => {
  for (const [code, held] of [
    ["Tab", ""],
    ["Escape", ""],
    ["F6", ""],
    ["F6", "ctrl alt"],
    ["KeyC", "ctrl"],
    ["KeyV", "ctrl"],
    ["KeyS", "ctrl shift"],
    ["KeyQ", "ctrl"],
  ] as const) {
    expect(ownerOfKey(key(code, held)), `${held} ${code}`).toBe("program");
  }
});
