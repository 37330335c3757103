// Chromium refuses to run as root with its sandbox on, and a window that shows other programs' output
// must not run without it. Tests, whose machine is a container of its own, say --no-sandbox.
import { app } from "electron";

/** The reason not to go on, or null. */
export function refusalOfRoot(): string | null {
  if (process.getuid?.() !== 0 || app.commandLine.hasSwitch("no-sandbox")) return null;
  return 'The panel does not run as root, because its sandbox would be off. Start it as an ordinary user who is in the group of the agent’s socket; "npm start" does so by itself.';
}
