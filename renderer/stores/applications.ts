// The applications as the agent last told them, their newest measurements, and which one is chosen.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { ApplicationRecord, Measurement } from "../../electron/contract/application.js";

export interface ApplicationsState {
  /** False until the agent has answered for the first time. */
  readonly loaded: boolean;
  readonly byId: Readonly<Record<string, ApplicationRecord>>;
  /** In the order of their files, then by name. */
  readonly order: readonly string[];
  readonly selectedId: string | null;
}

export const applicationsStore = createStore<ApplicationsState>()(() => ({
  loaded: false,
  byId: {},
  order: [],
  selectedId: null,
}));

export function useApplications<T>(selector: (state: ApplicationsState) => T): T {
  return useStore(applicationsStore, selector);
}

export function useSelectedApplication(): ApplicationRecord | null {
  return useApplications(({ byId, selectedId }) =>
    selectedId === null ? null : (byId[selectedId] ?? null),
  );
}

/** All of them, as after every new connection. The choice is kept where it can be. */
export function replaceApplications(applications: readonly ApplicationRecord[]): void {
  applicationsStore.setState(({ selectedId }) =>
    arranged(Object.fromEntries(applications.map((each) => [each.id, each])), selectedId),
  );
}

export function putApplication(application: ApplicationRecord): void {
  applicationsStore.setState(({ byId, selectedId }) => {
    const before = byId[application.id];
    // A record without a measurement says nothing new about a tree that still runs.
    const measurement =
      application.measurement ??
      (before?.life?.capsuleId === application.life?.capsuleId ? before?.measurement : null) ??
      null;
    const record = application.life === null ? application : { ...application, measurement };
    return arranged({ ...byId, [application.id]: record }, selectedId);
  });
}

export function removeApplication(applicationId: string): void {
  applicationsStore.setState(({ byId, selectedId }) => {
    const { [applicationId]: _removed, ...rest } = byId;
    return arranged(rest, selectedId);
  });
}

export function measureApplication(applicationId: string, measurement: Measurement): void {
  applicationsStore.setState(({ byId }) => {
    const application = byId[applicationId];
    return application === undefined
      ? {}
      : { byId: { ...byId, [applicationId]: { ...application, measurement } } };
  });
}

export function selectApplication(applicationId: string): void {
  applicationsStore.setState(({ byId }) =>
    byId[applicationId] === undefined ? {} : { selectedId: applicationId },
  );
}

function arranged(
  byId: Readonly<Record<string, ApplicationRecord>>,
  selectedId: string | null,
): ApplicationsState {
  const order = Object.values(byId)
    .sort((a, b) => a.order - b.order || a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1))
    .map((application) => application.id);
  const stillThere = selectedId !== null && byId[selectedId] !== undefined;
  return { loaded: true, byId, order, selectedId: stillThere ? selectedId : (order[0] ?? null) };
}
