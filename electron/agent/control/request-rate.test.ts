import { expect, it } from "vitest";
import { RequestRate } from "./request-rate.js";

it("lets a burst through, and after it so many a second", () => {
  let now = 0;
  const rate = new RequestRate(10, 5, () => now);
  const taken = (): number => {
    let count = 0;
    while (rate.take()) {
      count += 1;
    }
    return count;
  };
  expect(taken()).toBe(5);
  now += 99;
  expect(taken()).toBe(0);
  now += 1;
  expect(taken()).toBe(1);
  now += 10_000;
  expect(taken()).toBe(5);
});
