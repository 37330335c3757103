import { beforeEach, describe, expect, it } from "vitest";
import type { OperationRecord } from "../../electron/contract/operation.js";
import {
  dismissOutcome,
  operationsStore,
  putOperation,
  replaceRunningOperations,
  runningOperationOf,
} from "./operations.js";

function operation(id: string, second: number, change: Partial<OperationRecord> = {}) {
  const record: OperationRecord = {
    id,
    kind: "capture",
    applicationId: "a",
    imageId: null,
    state: "running",
    phase: "memory",
    doneBytes: null,
    totalBytes: null,
    cancellable: true,
    startedAt: `2026-11-23T10:00:0${second}.000Z`,
    endedAt: null,
    result: null,
    error: null,
    ...change,
  };
  return record;
}

const latest = (): OperationRecord | undefined => operationsStore.getState().latest.a;

beforeEach(() => {
  operationsStore.setState(operationsStore.getInitialState(), true);
});

describe("operations", () => {
  it("say once that one has ended", () => {
    expect(putOperation(operation("op-1", 1))).toBe(false);
    expect(putOperation(operation("op-1", 1, { state: "failed" }))).toBe(true);
    expect(putOperation(operation("op-1", 1, { state: "failed" }))).toBe(false);
  });

  it("are not brought back to life by an answer that comes after the end", () => {
    putOperation(operation("op-1", 1, { state: "succeeded" }));
    putOperation(operation("op-1", 1));
    expect(latest()?.state).toBe("succeeded");
    expect(runningOperationOf(operationsStore.getState(), "a")).toBeNull();
  });

  it("are not replaced by older ones", () => {
    putOperation(operation("op-2", 2));
    expect(putOperation(operation("op-1", 1, { state: "failed" }))).toBe(false);
    expect(latest()?.id).toBe("op-2");
  });

  it("that ran when the connection was lost are forgotten where they don't run any more", () => {
    putOperation(operation("op-1", 1));
    replaceRunningOperations([]);
    expect(latest()).toBeUndefined();
    putOperation(operation("op-2", 2, { state: "succeeded" }));
    replaceRunningOperations([operation("op-3", 3, { applicationId: "b" })]);
    expect(latest()?.id).toBe("op-2");
    expect(runningOperationOf(operationsStore.getState(), "b")?.id).toBe("op-3");
  });

  it("can be forgotten once they have ended", () => {
    putOperation(operation("op-1", 1));
    dismissOutcome("a");
    expect(latest()?.id).toBe("op-1");
    putOperation(operation("op-1", 1, { state: "succeeded" }));
    dismissOutcome("a");
    expect(latest()).toBeUndefined();
  });
});
