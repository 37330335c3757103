// The arithmetic that every number in docs and issues goes through.
import { expect, test } from "vitest";

import { summarize } from "./measurement.mjs";

test("the median of an odd and of an even number of values", () => {
  expect(summarize([9, 1, 5])).toEqual({ median: 5, smallest: 1, largest: 9, count: 3 });
  expect(summarize([4, 1, 3, 2]).median).toBe(2.5);
  expect(summarize([7]).median).toBe(7);
});

test("nothing measured is an error, not a zero", () => {
  expect(() => summarize([])).toThrow("nothing was measured");
});
