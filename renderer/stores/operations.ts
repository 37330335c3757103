// Long work: what runs now, and what ended last, per application. Older ones are forgotten.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import { hasEnded, type OperationRecord } from "../../electron/contract/operation.js";

export interface OperationsState {
  /** The one that runs, or else the one that ended last, by application. */
  readonly latest: Readonly<Record<string, OperationRecord>>;
}

export const operationsStore = createStore<OperationsState>()(() => ({ latest: {} }));

export function useOperations<T>(selector: (state: OperationsState) => T): T {
  return useStore(operationsStore, selector);
}

/** Takes what the agent says runs now: what ran when the connection was lost may have ended since. */
export function replaceRunningOperations(running: readonly OperationRecord[]): void {
  operationsStore.setState(({ latest }) => {
    const ended = Object.entries(latest).filter(([, operation]) => hasEnded(operation));
    return {
      latest: {
        ...Object.fromEntries(ended),
        ...Object.fromEntries(running.map((operation) => [operation.applicationId, operation])),
      },
    };
  });
}

/** True where this is news: the end of an operation that was not known to have ended. */
export function putOperation(operation: OperationRecord): boolean {
  const before = operationsStore.getState().latest[operation.applicationId];
  const sameOne = before?.id === operation.id;
  // Answers and events may cross: an end is never followed by more of the same operation, and what
  // ended before the shown one began is old news.
  if (sameOne && hasEnded(before)) return false;
  if (before !== undefined && !sameOne && operation.startedAt < before.startedAt) return false;
  operationsStore.setState(({ latest }) => ({
    latest: { ...latest, [operation.applicationId]: operation },
  }));
  return hasEnded(operation);
}

export function runningOperationOf(
  state: OperationsState,
  applicationId: string,
): OperationRecord | null {
  const operation = state.latest[applicationId];
  return operation === undefined || hasEnded(operation) ? null : operation;
}

/** Forgets how the last operation of an application ended. */
export function dismissOutcome(applicationId: string): void {
  operationsStore.setState(({ latest }) => {
    const operation = latest[applicationId];
    if (operation === undefined || !hasEnded(operation)) return {};
    const { [applicationId]: _dismissed, ...rest } = latest;
    return { latest: rest };
  });
}
