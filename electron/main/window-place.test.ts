import { describe, expect, it } from "vitest";
import { placeWindow } from "./window-place.js";

const screen = { x: 0, y: 0, width: 1920, height: 1080 };

describe("placeWindow", () => {
  it("centres a first window, no larger than the screen", () => {
    expect(placeWindow(null, [screen])).toEqual({ width: 1440, height: 900, maximized: false });
    expect(placeWindow(null, [{ x: 0, y: 0, width: 1280, height: 720 }])).toMatchObject({
      width: 1280,
      height: 720,
    });
  });

  it("opens where it was closed", () => {
    const place = { x: 100, y: 50, width: 1200, height: 800, maximized: true };
    expect(placeWindow(place, [screen])).toEqual(place);
  });

  it("comes back to the first screen when its own is gone", () => {
    const place = { x: 2500, y: 50, width: 1200, height: 800, maximized: false };
    expect(placeWindow(place, [screen])).toEqual({ width: 1200, height: 800, maximized: false });
  });

  it("is never smaller than what it can show", () => {
    expect(placeWindow({ width: 400, height: 300, maximized: false }, [screen])).toMatchObject({
      width: 960,
      height: 600,
    });
  });
});
