// The terminal's colours, from the theme's tokens, with the sixteen of its own per theme: each readable
// on its ground.
import type { ITheme } from "@xterm/xterm";

const LIGHT: ITheme = {
  black: "#1b2427",
  red: "#a8261b",
  green: "#146a38",
  yellow: "#7d5300",
  blue: "#1f53b5",
  magenta: "#8a2f86",
  cyan: "#0a6570",
  white: "#69777b",
  brightBlack: "#59666a",
  brightRed: "#c23328",
  brightGreen: "#1b7a44",
  brightYellow: "#8f6100",
  brightBlue: "#2b63cc",
  brightMagenta: "#9c3b98",
  brightCyan: "#0b7682",
  brightWhite: "#3a474b",
};

const DARK: ITheme = {
  black: "#2a353a",
  red: "#ff8f85",
  green: "#74d79b",
  yellow: "#efc06a",
  blue: "#8fb4ff",
  magenta: "#dda0e6",
  cyan: "#67cfda",
  white: "#d3dcde",
  brightBlack: "#84949a",
  brightRed: "#ffaaa2",
  brightGreen: "#94e6b4",
  brightYellow: "#f7d38f",
  brightBlue: "#adc9ff",
  brightMagenta: "#e9bdf0",
  brightCyan: "#8fe0e8",
  brightWhite: "#f3f7f7",
};

export function terminalPalette(theme: "light" | "dark"): ITheme {
  const tokens = getComputedStyle(document.documentElement);
  const token = (name: string): string => tokens.getPropertyValue(name).trim();
  return {
    ...(theme === "dark" ? DARK : LIGHT),
    background: token("--terminal-ground"),
    foreground: token("--terminal-ink"),
    cursor: token("--accent"),
    cursorAccent: token("--terminal-ground"),
    selectionBackground: theme === "dark" ? "#2b5a61" : "#b9dde1",
    scrollbarSliderBackground: theme === "dark" ? "#73848a66" : "#76858a66",
    scrollbarSliderHoverBackground: theme === "dark" ? "#73848aaa" : "#76858aaa",
    scrollbarSliderActiveBackground: theme === "dark" ? "#73848a" : "#76858a",
  };
}
