// Whether the agent can be reached, and what it and its machine are.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { ConnectionState } from "../../electron/contract/panel-channels.js";
import type { SystemInfo } from "../../electron/contract/system.js";

export interface ConnectionStoreState {
  readonly connection: ConnectionState;
  /** As of the newest connection; kept when it is lost, so that the machine still has a name. */
  readonly system: SystemInfo | null;
}

export const connectionStore = createStore<ConnectionStoreState>()(() => ({
  connection: { kind: "connecting", socketPath: "" },
  system: null,
}));

export function useConnection<T>(selector: (state: ConnectionStoreState) => T): T {
  return useStore(connectionStore, selector);
}

export function setConnection(connection: ConnectionState): void {
  connectionStore.setState({ connection });
}

export function setSystem(system: SystemInfo): void {
  connectionStore.setState({ system });
}

export function isConnected(state: ConnectionStoreState): boolean {
  return state.connection.kind === "connected";
}
