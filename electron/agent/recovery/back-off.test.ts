import { expect, it } from "vitest";
import { recoveryConfigSchema } from "../../contract/index.js";
import { backOffMs } from "./back-off.js";

it("grows from nothing to five minutes", () => {
  const byDefault = recoveryConfigSchema.parse({});
  expect(
    Array.from({ length: 12 }, (_, failures) => backOffMs(failures, byDefault) / 1000),
  ).toEqual([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  expect(backOffMs(1_000_000, byDefault)).toBe(300_000);
});

it("grows as the file says", () => {
  const own = recoveryConfigSchema.parse({ "back-off": "20ms", "longest-back-off": "70ms" });
  expect([0, 1, 2, 3, 50].map((failures) => backOffMs(failures, own))).toEqual([0, 20, 40, 70, 70]);
});
