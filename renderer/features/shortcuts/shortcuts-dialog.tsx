// Every key of the panel, for those who would rather not look for the mouse.
import type { ReactElement } from "react";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";

const SHORTCUTS: readonly (readonly [string, string])[] = [
  ["Go to the next pane", "F6"],
  ["Leave the terminal or the display for the next pane", "Ctrl+F6"],
  ["Choose an application or an image", "↑ ↓"],
  ["Capture now", "Ctrl+Shift+S"],
  ["Capture with options", "Ctrl+Shift+O"],
  ["Hibernate", "Ctrl+Shift+H"],
  ["Wake", "Ctrl+Shift+W"],
  ["Restore the chosen image", "Enter on the timeline"],
  ["Delete the chosen image", "Delete on the timeline"],
  ["Copy from the terminal, the display", "Ctrl+Shift+C"],
  ["Paste into the terminal; give a display the text", "Ctrl+Shift+V"],
  ["Notices", "Ctrl+Shift+N"],
  ["Machine and stores", "Ctrl+Shift+M"],
  ["Larger, smaller, actual size", "Ctrl++  Ctrl+−  Ctrl+0"],
  ["Menu", "Alt"],
];

export function ShortcutsDialog(): ReactElement {
  return (
    <DialogFrame title="Keyboard" onClose={closeDialog}>
      <dl className="shortcuts">
        {SHORTCUTS.map(([what, keys]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>
              <kbd>{keys}</kbd>
            </dd>
          </div>
        ))}
      </dl>
    </DialogFrame>
  );
}
