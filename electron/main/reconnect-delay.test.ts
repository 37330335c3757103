import { expect, it } from "vitest";
import { reconnectDelayMs } from "./reconnect-delay.js";

it("doubles from a quarter of a second to ten seconds", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 1000].map(reconnectDelayMs)).toEqual([
    250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000,
  ]);
});
