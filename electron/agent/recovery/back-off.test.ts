import { expect, it } from "vitest";
import { backOffMs } from "./back-off.js";

it("grows from nothing to five minutes", () => {
  expect(Array.from({ length: 12 }, (_, failures) => backOffMs(failures) / 1000)).toEqual([
    0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300,
  ]);
  expect(backOffMs(1_000_000)).toBe(300_000);
});
