// Denies every permission that web content can ask for, devices and downloads with them. The panel
// needs none: what it does, it does over the operator socket.
import { session } from "electron";
import { isPanelUrl } from "./navigation-guard.js";

export function setupSessionPermissions(): void {
  const panel = session.defaultSession;
  panel.setPermissionRequestHandler((_contents, _permission, answer) => {
    answer(false);
  });
  panel.setPermissionCheckHandler(() => false);
  panel.setDevicePermissionHandler(() => false);
  panel.on("will-download", (event) => {
    event.preventDefault();
  });
  // The policy's connect-src already forbids it to the page; this covers what Chromium itself would
  // fetch, and says in one place that the panel has no business on a network.
  panel.webRequest.onBeforeRequest((details, decide) => {
    decide({ cancel: !isPanelUrl(details.url) && !details.url.startsWith("devtools:") });
  });
}
