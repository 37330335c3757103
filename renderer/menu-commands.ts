// What the menu's entries do on the page. An action that the chosen application doesn't take right now is
// left alone: its button says why.
import type { MenuCommand } from "../electron/contract/panel-channels.js";
import {
  captureApplication,
  hibernateApplication,
  startApplication,
  wakeApplication,
} from "./commands.js";
import { focusNextPane } from "./pane-focus.js";
import { applicationsStore } from "./stores/applications.js";
import { dialogsStore, openDialog } from "./stores/dialogs.js";
import { availableActions } from "./features/applications/available-actions.js";
import { connectionStore, isConnected } from "./stores/connection.js";

export function carryOut(command: MenuCommand, page: Document): void {
  // A question that is open comes first.
  if (dialogsStore.getState().open !== null) return;
  switch (command) {
    case "next-pane":
      focusNextPane(page);
      return;
    case "show-notices":
      openDialog({ kind: "notices" });
      return;
    case "show-machine":
      openDialog({ kind: "machine" });
      return;
    case "show-shortcuts":
      openDialog({ kind: "shortcuts" });
      return;
    case "capture":
    case "capture-with-options":
    case "hibernate":
    case "wake":
    case "start":
    case "stop":
      onApplication(command);
      return;
  }
}

function onApplication(
  command: "capture" | "capture-with-options" | "hibernate" | "wake" | "start" | "stop",
): void {
  const { byId, selectedId } = applicationsStore.getState();
  const application = selectedId === null ? undefined : byId[selectedId];
  if (application === undefined) return;
  const can = availableActions(application, isConnected(connectionStore.getState()));
  if (can[command === "capture-with-options" ? "capture" : command] !== null) return;
  const { id } = application;
  switch (command) {
    case "capture":
      void captureApplication(id);
      return;
    case "capture-with-options":
      openDialog({ kind: "capture", applicationId: id });
      return;
    case "hibernate":
      void hibernateApplication(id);
      return;
    case "wake":
      void wakeApplication(id);
      return;
    case "start":
      void startApplication(id);
      return;
    case "stop":
      openDialog({ kind: "stop", applicationId: id });
      return;
  }
}
