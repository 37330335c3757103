// The one place that sends to the page: typed, and quiet when the window has gone meanwhile.
import type { WebContents } from "electron";
import type { PanelEventChannel, PanelEvents } from "../../contract/panel-channels.js";

export function sendEvent<C extends PanelEventChannel>(
  page: WebContents,
  channel: C,
  payload: PanelEvents[C],
): void {
  if (!page.isDestroyed()) page.send(channel, payload);
}
