// The panel's main process: a list of what is set up, in order. It does nothing that the operator socket
// doesn't offer, and runs as an ordinary user.
import path from "node:path";
import { app, BrowserWindow, type WebContents } from "electron";
import { torporPaths } from "../contract/paths.js";
import { AgentLink } from "./agent-link.js";
import { registerPanelScheme, setupAppProtocol } from "./app-protocol.js";
import { setupApplicationMenu } from "./application-menu.js";
import { Displays } from "./displays.js";
import { registerRequests } from "./ipc/register-requests.js";
import { sendEvent } from "./ipc/send-event.js";
import { setupNavigationGuard } from "./navigation-guard.js";
import { openPanelWindow } from "./panel-window.js";
import { PreferencesFile } from "./preferences-file.js";
import { requestHandlers } from "./request-handlers.js";
import { refusalOfRoot } from "./root-refusal.js";
import { setupSessionPermissions } from "./session-permissions.js";
import { setupSingleInstance } from "./single-instance.js";
import { Terminals } from "./terminals.js";
import { setupTheme } from "./theme.js";

const appFolder = app.getAppPath();

function start(): void {
  const refusal = refusalOfRoot();
  if (refusal !== null) {
    console.error(refusal);
    app.exit(7);
    return;
  }
  if (!setupSingleInstance()) {
    app.quit();
    return;
  }
  // enableSandbox() would take --no-sandbox back, which tests in a container rely on.
  if (!app.commandLine.hasSwitch("no-sandbox")) app.enableSandbox();
  registerPanelScheme();
  setupNavigationGuard();
  void app.whenReady().then(open);
}

function open(): void {
  const preferences = new PreferencesFile(path.join(app.getPath("userData"), "panel.json"));
  const terminals = new Terminals(appFolder);
  const pages = (): WebContents[] => BrowserWindow.getAllWindows().map((each) => each.webContents);
  const agent = new AgentLink(torporPaths(process.env).agentSocket, {
    stateChanged: (state) => {
      if (state.kind === "lost") displays.allLost();
      for (const page of pages()) sendEvent(page, "connection:state-changed", state);
    },
    eventReceived: (message) => {
      for (const page of pages()) sendEvent(page, "agent:event-received", message);
    },
    displayOutput: (payload) => displays.received(payload),
    displayClosed: (payload) => displays.ended(payload),
  });
  const displays = new Displays(agent);
  setupTheme(preferences);
  setupSessionPermissions();
  setupAppProtocol(path.join(appFolder, "dist/renderer"));
  setupApplicationMenu(() => pages()[0], preferences);
  registerRequests(requestHandlers({ agent, terminals, displays, preferences }));
  agent.open();
  openPanelWindow(appFolder, preferences);
  app.on("window-all-closed", () => {
    app.quit();
  });
  app.on("will-quit", () => {
    terminals.closeAll();
    agent.close();
  });
}

start();
