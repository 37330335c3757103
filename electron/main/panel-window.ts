// Opens the panel's one window with web content locked in: sandboxed, isolated, without Node, and
// shown only when its first frame is painted, so that nothing flashes.
import path from "node:path";
import { BrowserWindow, nativeTheme, screen } from "electron";
import { PANEL_ORIGIN } from "./app-protocol.js";
import type { PreferencesFile } from "./preferences-file.js";
import { MINIMUM_SIZE, placeWindow } from "./window-place.js";

/** The renderer's `--ground`, in both themes: what is seen before its first frame. */
const GROUND = { light: "#eceff0", dark: "#0f1416" } as const;

/** How long the window must stay where it is before its place is written down. */
const SETTLE_MS = 400;

export function openPanelWindow(appFolder: string, preferences: PreferencesFile): BrowserWindow {
  const place = placeWindow(
    preferences.current.window,
    [screen.getPrimaryDisplay(), ...screen.getAllDisplays()].map((display) => display.workArea),
  );
  const window = new BrowserWindow({
    ...(place.x === undefined || place.y === undefined ? {} : { x: place.x, y: place.y }),
    width: place.width,
    height: place.height,
    minWidth: MINIMUM_SIZE.width,
    minHeight: MINIMUM_SIZE.height,
    show: false,
    title: "Torpor",
    icon: path.join(appFolder, "assets/icons/torpor-256.png"),
    backgroundColor: nativeTheme.shouldUseDarkColors ? GROUND.dark : GROUND.light,
    autoHideMenuBar: true,
    webPreferences: {
      preload: path.join(appFolder, "dist/preload/preload.cjs"),
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webSecurity: true,
      allowRunningInsecureContent: false,
      experimentalFeatures: false,
      webviewTag: false,
      navigateOnDragDrop: false,
      spellcheck: false,
      enableWebSQL: false,
    },
  });
  if (place.maximized) window.maximize();
  window.once("ready-to-show", () => {
    window.webContents.setZoomLevel(preferences.current.zoomLevel);
    window.show();
  });
  window.on("page-title-updated", (event) => {
    event.preventDefault();
  });
  rememberPlace(window, preferences);
  void window.loadURL(`${PANEL_ORIGIN}/`);
  return window;
}

function rememberPlace(window: BrowserWindow, preferences: PreferencesFile): void {
  let settling: NodeJS.Timeout | undefined;
  const note = (): void => {
    if (window.isDestroyed() || window.isMinimized() || window.isFullScreen()) return;
    preferences.update({
      window: { ...window.getNormalBounds(), maximized: window.isMaximized() },
    });
  };
  const noteSoon = (): void => {
    clearTimeout(settling);
    settling = setTimeout(note, SETTLE_MS);
  };
  window.on("resize", noteSoon);
  window.on("move", noteSoon);
  window.on("close", () => {
    clearTimeout(settling);
    note();
  });
}
