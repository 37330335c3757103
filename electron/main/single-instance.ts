// One panel per user: a second start brings the first one's window to the front and ends.
import { app, BrowserWindow } from "electron";

/** Returns false where another panel runs already; the caller then quits. */
export function setupSingleInstance(): boolean {
  if (!app.requestSingleInstanceLock()) return false;
  app.on("second-instance", () => {
    const window = BrowserWindow.getAllWindows()[0];
    if (window === undefined) return;
    if (window.isMinimized()) window.restore();
    window.show();
    window.focus();
  });
  return true;
}
