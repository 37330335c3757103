// What each request of the page does: the operator socket's methods are passed on, the rest is the
// window's own (terminals, clipboard, preferences).
import { BrowserWindow, clipboard } from "electron";
import { panelMethods, type PanelMethod } from "../contract/panel-channels.js";
import type { AgentLink } from "./agent-link.js";
import type { Displays } from "./displays.js";
import type { RequestHandlers } from "./ipc/register-requests.js";
import type { PreferencesFile } from "./preferences-file.js";
import type { Terminals } from "./terminals.js";
import { chooseTheme } from "./theme.js";

type AgentHandlers = { readonly [M in PanelMethod as `agent:${M}`]: RequestHandlers[`agent:${M}`] };

export function requestHandlers(parts: {
  readonly agent: AgentLink;
  readonly terminals: Terminals;
  readonly displays: Displays;
  readonly preferences: PreferencesFile;
}): RequestHandlers {
  const { agent, terminals, displays, preferences } = parts;
  return {
    ...passedOn(agent),
    "connection:get-state": () => agent.state,
    "connection:retry-now": () => {
      agent.retryNow();
      return null;
    },
    "terminals:open": ({ applicationId, cols, rows }, page) => ({
      terminalId: terminals.open(applicationId, cols, rows, page),
    }),
    "terminals:write": ({ terminalId, data }, page) => {
      terminals.write(terminalId, data, page);
      return null;
    },
    "terminals:resize": ({ terminalId, cols, rows }, page) => {
      terminals.resize(terminalId, cols, rows, page);
      return null;
    },
    "terminals:acknowledge": ({ terminalId, count }, page) => {
      terminals.acknowledge(terminalId, count, page);
      return null;
    },
    "terminals:close": ({ terminalId }, page) => {
      terminals.close(terminalId, page);
      return null;
    },
    "displays:open": async ({ applicationId }, page) => ({
      displayId: await displays.open(applicationId, page),
    }),
    "displays:start": async ({ displayId }, page) => {
      await displays.start(displayId, page);
      return null;
    },
    "displays:write": async ({ displayId, data }, page) => {
      await displays.write(displayId, data, page);
      return null;
    },
    "displays:acknowledge": ({ displayId, count }, page) => {
      displays.acknowledge(displayId, count, page);
      return null;
    },
    "displays:close": ({ displayId }, page) => {
      displays.close(displayId, page);
      return null;
    },
    "window:set-full-screen": ({ fullScreen }, page) => {
      BrowserWindow.fromWebContents(page)?.setFullScreen(fullScreen);
      return null;
    },
    "preferences:get": () => {
      const { theme, layout } = preferences.current;
      return { theme, layout };
    },
    "preferences:choose-theme": ({ theme }) => {
      chooseTheme(preferences, theme);
      return null;
    },
    "preferences:save-layout": ({ layout }) => {
      preferences.update({ layout });
      return null;
    },
    "clipboard:write-text": async ({ text }) => {
      await clipboard.writeText(text);
      return null;
    },
    "clipboard:paste-into-focus": (_params, page) => {
      page.paste();
      return null;
    },
  };
}

function passedOn(agent: AgentLink): AgentHandlers {
  const entries = panelMethods.map((method) => [
    `agent:${method}`,
    (params: never) => agent.call(method, params),
  ]);
  return Object.fromEntries(entries) as AgentHandlers;
}
