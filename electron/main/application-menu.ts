// The menu, hidden until Alt: every action of the panel with its keys, so that they can be found, and so
// that they work wherever the focus is.
import { Menu, type MenuItemConstructorOptions, type WebContents } from "electron";
import type { MenuCommand } from "../contract/panel-channels.js";
import { sendEvent } from "./ipc/send-event.js";
import type { PreferencesFile } from "./preferences-file.js";

const ZOOM_STEP = 0.5;
const ZOOM_LIMITS = { smallest: -2, largest: 5 } as const;

export function setupApplicationMenu(
  findPage: () => WebContents | undefined,
  preferences: PreferencesFile,
): void {
  const command = (
    label: string,
    name: MenuCommand,
    accelerator?: string,
  ): MenuItemConstructorOptions => ({
    label,
    ...(accelerator === undefined ? {} : { accelerator }),
    click: () => {
      const page = findPage();
      if (page !== undefined) sendEvent(page, "menu:command-chosen", { command: name });
    },
  });
  const zoom = (label: string, accelerator: string, next: (level: number) => number) => ({
    label,
    accelerator,
    click: () => {
      const page = findPage();
      if (page === undefined) return;
      const wanted = next(page.getZoomLevel());
      const level = Math.min(ZOOM_LIMITS.largest, Math.max(ZOOM_LIMITS.smallest, wanted));
      page.setZoomLevel(level);
      preferences.update({ zoomLevel: level });
    },
  });
  const template: MenuItemConstructorOptions[] = [
    {
      label: "&Panel",
      submenu: [
        command("Machine and stores…", "show-machine", "CommandOrControl+Shift+M"),
        command("Notices…", "show-notices", "CommandOrControl+Shift+N"),
        { type: "separator" },
        { role: "quit", accelerator: "CommandOrControl+Q" },
      ],
    },
    {
      label: "&Application",
      submenu: [
        command("Capture now", "capture", "CommandOrControl+Shift+S"),
        command("Capture with options…", "capture-with-options", "CommandOrControl+Shift+O"),
        command("Hibernate", "hibernate", "CommandOrControl+Shift+H"),
        command("Wake", "wake", "CommandOrControl+Shift+W"),
        { type: "separator" },
        command("Start", "start"),
        command("Stop…", "stop"),
      ],
    },
    {
      label: "&View",
      submenu: [
        // F6 as well, but not while a terminal has the focus: programs use that key.
        command("Next pane", "next-pane", "CommandOrControl+F6"),
        { type: "separator" },
        zoom("Larger", "CommandOrControl+Plus", (level) => level + ZOOM_STEP),
        zoom("Smaller", "CommandOrControl+-", (level) => level - ZOOM_STEP),
        zoom("Actual size", "CommandOrControl+0", () => 0),
        { role: "togglefullscreen" },
        { type: "separator" },
        { label: "Reload the window", role: "reload", accelerator: "CommandOrControl+Shift+R" },
      ],
    },
    {
      label: "&Help",
      submenu: [command("Keyboard shortcuts", "show-shortcuts", "CommandOrControl+/")],
    },
  ];
  Menu.setApplicationMenu(Menu.buildFromTemplate(template));
}
