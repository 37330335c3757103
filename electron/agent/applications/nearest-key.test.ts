import { expect, it } from "vitest";
import { nearestKey } from "./nearest-key.js";

const keys = ["name", "command", "terminal", "stop-grace", "env"];

it.each([
  ["comand", "command"],
  ["commnad", "command"],
  ["Terminal", "terminal"],
  ["stop_grace", "stop-grace"],
  ["envs", "env"],
  ["colour", null],
  ["x", null],
])("for %s proposes %s", (typed, meant) => {
  expect(nearestKey(typed, keys)).toBe(meant);
});
