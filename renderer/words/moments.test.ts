import { describe, expect, it } from "vitest";
import {
  clockTime,
  dayAndTime,
  dayAndTimeWithin,
  dayName,
  fullMoment,
  howLongAgo,
  lastedSince,
} from "./moments.js";

// Built from local parts, so that the test says the same in every time zone.
const local = (...parts: [number, number, number, number?, number?, number?]): string =>
  new Date(...parts).toISOString();
const now = new Date(2026, 10, 23, 14, 30, 0).getTime();

describe("moments", () => {
  it("tells the time of day with seconds", () => {
    expect(clockTime(local(2026, 10, 23, 4, 2, 9))).toBe("04:02:09");
  });

  it.each([
    [local(2026, 10, 23, 0, 0, 1), "Today"],
    [local(2026, 10, 22, 23, 59, 59), "Yesterday"],
    [local(2026, 10, 21, 12), "21 Nov"],
    [local(2025, 1, 3, 12), "3 Feb 2025"],
  ])("names the day of %s", (timestamp, name) => {
    expect(dayName(timestamp, now)).toBe(name);
  });

  it("fits into a sentence", () => {
    const today = local(2026, 10, 23, 9, 5, 0);
    expect(dayAndTime(today, now)).toBe("Today, 09:05:00");
    expect(dayAndTimeWithin(today, now)).toBe("today, 09:05:00");
    expect(dayAndTimeWithin(local(2026, 10, 2, 9, 5, 0), now)).toBe("2 Nov, 09:05:00");
  });

  it("says the whole of it", () => {
    expect(fullMoment(local(2026, 10, 3, 14, 2, 11))).toBe("3 Nov 2026, 14:02:11");
  });

  it.each([
    [-3_000, "just now"],
    [4_000, "just now"],
    [42_000, "40 s ago"],
    [60_000, "1 min ago"],
    [7_200_000, "2 h ago"],
    [3 * 86_400_000, "3 d ago"],
  ])("says how long ago %d ms are", (ago, words) => {
    expect(howLongAgo(new Date(now - ago).toISOString(), now)).toBe(words);
  });

  it("says how long something has lasted", () => {
    expect(lastedSince(new Date(now - 125_000).toISOString(), now)).toBe("2 min 5 s");
  });
});
