// Goes through the themes: as the desktop, light, dark.
import type { ReactElement } from "react";
import type { ThemeChoice } from "../../../electron/contract/panel-channels.js";
import { chooseTheme } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import type { IconName } from "../../components/icon.js";
import { nextTheme, usePreferences } from "../../stores/preferences.js";

const THEMES: Readonly<Record<ThemeChoice, { word: string; icon: IconName }>> = {
  system: { word: "Theme: as the desktop", icon: "desktop" },
  light: { word: "Theme: light", icon: "sun" },
  dark: { word: "Theme: dark", icon: "moon" },
};

export function ThemeButton(): ReactElement {
  const theme = usePreferences((state) => state.theme);
  const { word, icon } = THEMES[theme];
  return (
    <ActionButton
      label={word}
      icon={icon}
      iconOnly
      tone="bare"
      onPress={() => void chooseTheme(nextTheme(theme))}
    />
  );
}
