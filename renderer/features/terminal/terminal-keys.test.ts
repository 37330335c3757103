import { expect, it } from "vitest";
import { ownerOfKey } from "./terminal-keys.js";

const key = (code: string, ...held: ("ctrlKey" | "shiftKey" | "altKey")[]) => ({
  code,
  ctrlKey: held.includes("ctrlKey"),
  shiftKey: held.includes("shiftKey"),
  altKey: held.includes("altKey"),
  metaKey: false,
});

it.each([
  ["the program gets letters", key("KeyS"), "program"],
  ["the program gets Ctrl and a letter", key("KeyC", "ctrlKey"), "program"],
  ["the program gets F6", key("F6"), "program"],
  ["the program gets Tab", key("Tab", "shiftKey"), "program"],
  ["the panel gets the way out", key("F6", "ctrlKey"), "panel"],
  ["the panel gets its commands", key("KeyS", "ctrlKey", "shiftKey"), "panel"],
  ["copying", key("KeyC", "ctrlKey", "shiftKey"), "copy"],
  ["pasting", key("KeyV", "ctrlKey", "shiftKey"), "paste"],
  ["the program gets what has Alt", key("KeyS", "ctrlKey", "shiftKey", "altKey"), "program"],
] as const)("%s", (_name, facts, owner) => {
  expect(ownerOfKey(facts)).toBe(owner);
});
