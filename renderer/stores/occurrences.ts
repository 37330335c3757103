// What happened to each application and what was done about it, newest first, as the agent last told it.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { OccurrenceRecord } from "../../electron/contract/occurrence.js";

export interface OccurrencesState {
  readonly byApplication: Readonly<Record<string, readonly OccurrenceRecord[]>>;
}

/** Of one application; an application that crashes all night must not fill the page. */
const MOST_KEPT = 500;

export const occurrencesStore = createStore<OccurrencesState>()(() => ({ byApplication: {} }));

export function useOccurrences<T>(selector: (state: OccurrencesState) => T): T {
  return useStore(occurrencesStore, selector);
}

const NOTHING: readonly OccurrenceRecord[] = [];

export function occurrencesOf(
  state: OccurrencesState,
  applicationId: string,
): readonly OccurrenceRecord[] {
  return state.byApplication[applicationId] ?? NOTHING;
}

export function replaceOccurrences(records: readonly OccurrenceRecord[]): void {
  occurrencesStore.setState({ byApplication: {} });
  putOccurrences(records);
}

/** New ones, and ones that have gone on since. */
export function putOccurrences(records: readonly OccurrenceRecord[]): void {
  const ids = new Set(records.map(({ applicationId }) => applicationId));
  occurrencesStore.setState(({ byApplication }) => {
    const changed = { ...byApplication };
    for (const id of ids) {
      const news = records.filter(({ applicationId }) => applicationId === id);
      changed[id] = merged(byApplication[id] ?? NOTHING, news);
    }
    return { byApplication: changed };
  });
}

function merged(
  before: readonly OccurrenceRecord[],
  news: readonly OccurrenceRecord[],
): readonly OccurrenceRecord[] {
  const byId = new Map([...before, ...news].map((record) => [record.id, record]));
  return [...byId.values()].sort((a, b) => b.id - a.id).slice(0, MOST_KEPT);
}
