// Keeps every web contents of the panel where it is: no navigation, no new windows, no embedded
// pages, no attached debugger windows from page content. The panel shows one document, ever.
import { app } from "electron";
import { PANEL_ORIGIN } from "./app-protocol.js";

/** True for the panel's own document: a reload of it is the one navigation that is allowed. */
export function isPanelUrl(url: string): boolean {
  try {
    const { protocol, host } = new URL(url);
    return `${protocol}//${host}` === PANEL_ORIGIN;
  } catch {
    return false;
  }
}

export function setupNavigationGuard(): void {
  app.on("web-contents-created", (_event, contents) => {
    contents.on("will-navigate", (event) => {
      if (!isPanelUrl(event.url)) event.preventDefault();
    });
    contents.on("will-redirect", (event) => {
      event.preventDefault();
    });
    contents.on("will-frame-navigate", (event) => {
      if (!event.isMainFrame || !isPanelUrl(event.url)) event.preventDefault();
    });
    contents.on("will-attach-webview", (event) => {
      event.preventDefault();
    });
    contents.setWindowOpenHandler(() => ({ action: "deny" }));
  });
}
