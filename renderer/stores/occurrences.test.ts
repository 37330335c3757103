import { beforeEach, expect, it } from "vitest";
import type { OccurrenceRecord } from "../../electron/contract/occurrence.js";
import {
  occurrencesOf,
  occurrencesStore,
  putOccurrences,
  replaceOccurrences,
} from "./occurrences.js";

function occurrence(id: number, change: Partial<OccurrenceRecord> = {}): OccurrenceRecord {
  return {
    id,
    applicationId: "a",
    kind: "crash",
    at: "2026-11-23T10:00:00.000Z",
    happened: "it was ended by SIGSEGV",
    exitStatus: null,
    signalName: "SIGSEGV",
    endedLife: 1,
    failures: 0,
    decision: {
      action: "start",
      imageId: null,
      rule: null,
      reason: "it has no image",
      passedOver: [],
      delayMs: 0,
    },
    state: "acting",
    outcome: null,
    life: null,
    operationId: null,
    endedAt: null,
    ...change,
  };
}

function ids(applicationId: string): number[] {
  return occurrencesOf(occurrencesStore.getState(), applicationId).map(({ id }) => id);
}

beforeEach(() => {
  replaceOccurrences([]);
});

it("keeps what happened to each application, newest first", () => {
  putOccurrences([occurrence(1), occurrence(3), occurrence(2, { applicationId: "b" })]);
  putOccurrences([occurrence(4)]);
  expect(ids("a")).toEqual([4, 3, 1]);
  expect(ids("b")).toEqual([2]);
  expect(ids("c")).toEqual([]);
});

it("takes what has become of one in its place", () => {
  putOccurrences([occurrence(1), occurrence(2)]);
  putOccurrences([occurrence(1, { state: "done", outcome: "it runs" })]);
  expect(ids("a")).toEqual([2, 1]);
  expect(occurrencesOf(occurrencesStore.getState(), "a")[1]?.state).toBe("done");
});

it("holds no more than the newest, and nothing of before a new connection", () => {
  putOccurrences(Array.from({ length: 600 }, (_, index) => occurrence(index + 1)));
  expect(ids("a")).toHaveLength(500);
  expect(ids("a")[0]).toBe(600);
  replaceOccurrences([occurrence(7)]);
  expect(ids("a")).toEqual([7]);
});
