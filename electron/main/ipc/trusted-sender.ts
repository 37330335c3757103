// Who may call: the main frame of a page of our own origin. Everything else that could reach ipcMain (a
// frame inside it, a page that got in despite the navigation guard) is refused.
import type { IpcMainInvokeEvent } from "electron";
import { isPanelUrl } from "../navigation-guard.js";

type Sender = Pick<IpcMainInvokeEvent, "senderFrame" | "sender">;

export function isTrustedSender(event: Sender): boolean {
  const frame = event.senderFrame;
  if (frame === null || frame !== event.sender.mainFrame) return false;
  return isPanelUrl(frame.url);
}
