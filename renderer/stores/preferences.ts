// How the operator likes the panel: theme and the panes' shares. The main process keeps them.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { PanelPreferences, ThemeChoice } from "../../electron/contract/panel-channels.js";

export interface PreferencesState extends PanelPreferences {
  readonly systemIsDark: boolean;
}

export const preferencesStore = createStore<PreferencesState>()(() => ({
  theme: "system",
  layout: {},
  systemIsDark: false,
}));

export function usePreferences<T>(selector: (state: PreferencesState) => T): T {
  return useStore(preferencesStore, selector);
}

export function setPreferences(change: Partial<PreferencesState>): void {
  preferencesStore.setState(change);
}

export function themeOf(state: PreferencesState): Exclude<ThemeChoice, "system"> {
  if (state.theme !== "system") return state.theme;
  return state.systemIsDark ? "dark" : "light";
}

/** The choice after this one, in the order of the button that goes through them. */
export function nextTheme(theme: ThemeChoice): ThemeChoice {
  return theme === "system" ? "light" : theme === "light" ? "dark" : "system";
}
