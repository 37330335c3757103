import { describe, expect, it } from "vitest";
import { countOf, formatBytes, formatMilliseconds, formatSpan } from "./quantities.js";

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [48 * 1024, "48.0 KiB"],
    [999.4 * 1024, "999 KiB"],
    [999.6 * 1024, "0.98 MiB"],
    [16 * 1024 * 1024, "16.0 MiB"],
    [3.5 * 1024 ** 3, "3.50 GiB"],
    [5000 * 1024 ** 4, "5000 TiB"],
  ])("%d", (bytes, words) => {
    expect(formatBytes(bytes)).toBe(words);
  });
});

describe("formatMilliseconds", () => {
  it.each([
    [0, "0.00 ms"],
    [3.14159, "3.14 ms"],
    [41.27, "41.3 ms"],
    [412.4, "412 ms"],
    [1840, "1.84 s"],
    [125_000, "2 min 5 s"],
  ])("%d", (milliseconds, words) => {
    expect(formatMilliseconds(milliseconds)).toBe(words);
  });
});

describe("formatSpan", () => {
  it.each([
    [-5, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [3_600_000 + 20 * 60_000, "1 h 20 min"],
    [26 * 3_600_000, "1 d 2 h"],
  ])("%d", (milliseconds, words) => {
    expect(formatSpan(milliseconds)).toBe(words);
  });
});

describe("countOf", () => {
  it("takes the plural for everything but one", () => {
    expect([countOf(0, "image"), countOf(1, "image"), countOf(2, "process", "processes")]).toEqual([
      "0 images",
      "1 image",
      "2 processes",
    ]);
  });
});
