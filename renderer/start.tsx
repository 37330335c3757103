// The page's beginning: styles, the stores' sources, and the panel itself.
import "./nonce-styles.js";

import "./styles/fonts.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/dialogs.css";
import "./styles/panel.css";
import "./styles/timeline.css";
import "./styles/terminal.css";
import "./styles/display.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startAgentSync } from "./agent-sync.js";
import { hear, request } from "./bridge.js";
import { carryOut } from "./menu-commands.js";
import { focusNextPane } from "./pane-focus.js";
import { Panel } from "./panel.js";
import { startClock } from "./stores/clock.js";
import { preferencesStore, setPreferences, themeOf } from "./stores/preferences.js";

function followTheme(): void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    document.documentElement.setAttribute("data-theme", themeOf(preferencesStore.getState()));
  };
  setPreferences({ systemIsDark: system.matches });
  system.addEventListener("change", () => setPreferences({ systemIsDark: system.matches }));
  preferencesStore.subscribe(apply);
  apply();
}

async function start(): Promise<void> {
  const root = document.getElementById("root");
  if (root === null) throw new Error("index.html has no #root");
  followTheme();
  setPreferences(await request("preferences:get", {}));
  startClock(document);
  startAgentSync(document);
  hear("menu:command-chosen", ({ command }) => carryOut(command, document));
  document.addEventListener("keydown", (event) => {
    // Programs in the terminal use F6 themselves; Ctrl+F6, from the menu, works everywhere.
    const inTerminal = event.target instanceof Element && event.target.closest(".xterm") !== null;
    if (event.key !== "F6" || event.ctrlKey || inTerminal) return;
    event.preventDefault();
    focusNextPane(document);
  });
  createRoot(root).render(
    <StrictMode>
      <Panel />
    </StrictMode>,
  );
}

void start();
