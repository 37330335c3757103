import { describe, expect, it } from "vitest";
import { availableActions, primaryAction } from "./available-actions.js";

const facts = {
  state: "running",
  configProblem: null,
  operationId: null,
  hibernatedImageId: null,
} as const;
const image = "0".repeat(32);

function possible(...args: Parameters<typeof availableActions>): string[] {
  return Object.entries(availableActions(...args))
    .filter(([, reason]) => reason === null)
    .map(([action]) => action);
}

describe("availableActions", () => {
  it("stops, captures and hibernates what runs", () => {
    expect(possible(facts, true)).toEqual(["stop", "capture", "hibernate"]);
  });

  it("starts what is stopped or has failed", () => {
    expect(possible({ ...facts, state: "stopped" }, true)).toEqual(["start"]);
    expect(possible({ ...facts, state: "failed" }, true)).toEqual(["start"]);
  });

  it("wakes what is hibernated, or starts it anew", () => {
    const hibernated = { ...facts, state: "hibernated", hibernatedImageId: image } as const;
    expect(possible(hibernated, true)).toEqual(["start", "wake"]);
  });

  it("does nothing beside another operation, between states, or without the agent", () => {
    expect(possible({ ...facts, operationId: "op-1" }, true)).toEqual([]);
    expect(possible({ ...facts, state: "restoring" }, true)).toEqual([]);
    expect(possible(facts, false)).toEqual([]);
  });

  it("doesn't start from a file that has an error, and says so", () => {
    const configProblem = { file: "/a.toml", line: 1, column: 1, key: "name", message: "wrong" };
    const actions = availableActions({ ...facts, state: "stopped", configProblem }, true);
    expect(actions.start).toBe("Its file has an error");
  });
});

describe("primaryAction", () => {
  it.each([
    ["running", null, "capture"],
    ["stopped", null, "start"],
    ["failed", image, "wake"],
    ["hibernated", image, "wake"],
    ["starting", null, null],
  ] as const)("%s", (state, hibernatedImageId, action) => {
    expect(primaryAction({ ...facts, state, hibernatedImageId })).toBe(action);
  });
});
