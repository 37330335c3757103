// Light, dark, or as the desktop is: the choice is kept here, because native dialogs and the window's
// first background follow it as well as the page.
import { nativeTheme } from "electron";
import type { ThemeChoice } from "../contract/panel-channels.js";
import type { PreferencesFile } from "./preferences-file.js";

export function setupTheme(preferences: PreferencesFile): void {
  nativeTheme.themeSource = preferences.current.theme;
}

export function chooseTheme(preferences: PreferencesFile, choice: ThemeChoice): void {
  nativeTheme.themeSource = choice;
  preferences.update({ theme: choice });
}
