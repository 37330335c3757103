import { expect, it } from "vitest";
import { asSentence, asSentences } from "./sentences.js";

it("makes a sentence of words", () => {
  expect(asSentence("no swap is active")).toBe("No swap is active.");
  expect(asSentence("Start it again.")).toBe("Start it again.");
});

it("leaves out what is not there", () => {
  expect(asSentences(["for lazy restore", null, "", "it is off"])).toBe(
    "For lazy restore. It is off.",
  );
});
