// Where the window opens: where it was closed, as long as that place is still on a screen.
import type { WindowPlace } from "./preferences-file.js";

export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export const MINIMUM_SIZE = { width: 960, height: 600 } as const;
const DEFAULT_SIZE = { width: 1440, height: 900 } as const;
/** So much of the title's height and of the width must be on a screen for the window to be caught. */
const GRASPABLE = { width: 120, height: 40 } as const;

/** The place to open at. Without x and y the window is centred on the first screen. */
export function placeWindow(remembered: WindowPlace | null, screens: readonly Area[]): WindowPlace {
  const first = screens[0] ?? { x: 0, y: 0, ...DEFAULT_SIZE };
  if (remembered === null) return { ...fit(DEFAULT_SIZE, first), maximized: false };
  const { x, y } = remembered;
  const home =
    x === undefined || y === undefined
      ? undefined
      : screens.find((screen) =>
          overlaps({ x, y, width: remembered.width, height: GRASPABLE.height }, screen),
        );
  if (home === undefined || x === undefined || y === undefined) {
    return { ...fit(remembered, first), maximized: remembered.maximized };
  }
  return { x, y, ...fit(remembered, home), maximized: remembered.maximized };
}

function fit(
  size: { width: number; height: number },
  screen: Area,
): { width: number; height: number } {
  return {
    width: Math.max(MINIMUM_SIZE.width, Math.min(size.width, screen.width)),
    height: Math.max(MINIMUM_SIZE.height, Math.min(size.height, screen.height)),
  };
}

function overlaps(titleBar: Area, screen: Area): boolean {
  const width =
    Math.min(titleBar.x + titleBar.width, screen.x + screen.width) - Math.max(titleBar.x, screen.x);
  const height =
    Math.min(titleBar.y + titleBar.height, screen.y + screen.height) -
    Math.max(titleBar.y, screen.y);
  return width >= GRASPABLE.width && height >= GRASPABLE.height / 2;
}
