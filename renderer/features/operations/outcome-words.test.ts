import { describe, expect, it } from "vitest";
import { describeFailure } from "../../../electron/contract/failure.js";
import { outcomeInWords } from "./outcome-words.js";

const imageId = `3f2a91c0${"0".repeat(24)}`;
const beforeImageId = `77aa00bb${"0".repeat(24)}`;

describe("outcomeInWords", () => {
  it("tells a capture's pause", () => {
    const result = { imageId, pauseMs: 3.14, durationMs: 80, notes: [] };
    expect(
      outcomeInWords({ kind: "capture", state: "succeeded", result, error: null }, "Ward board"),
    ).toEqual({
      tone: "good",
      words: "Captured Ward board: image 3f2a91c0, stood still for 3.14 ms",
    });
  });

  it("tells a restore's image, the one before it, and how soon it ran", () => {
    const result = { imageId, beforeImageId, firstInstructionMs: 21.4, notes: [] };
    expect(
      outcomeInWords({ kind: "restore", state: "succeeded", result, error: null }, "Ward board")
        .words,
    ).toBe(
      "Restored Ward board: image 3f2a91c0, what ran before is image 77aa00bb, running again after 21.4 ms",
    );
  });

  it("tells what happened when it failed", () => {
    const error = describeFailure("no-room", {
      happened: "Ward board could not be captured: the store is full.",
      unchanged: "It runs on as before.",
    });
    expect(
      outcomeInWords({ kind: "capture", state: "failed", result: null, error }, "Ward board"),
    ).toEqual({ tone: "bad", words: "Ward board could not be captured: the store is full." });
  });

  it("says that a cancelled one left all as it was", () => {
    expect(
      outcomeInWords({ kind: "stop", state: "cancelled", result: null, error: null }, "Ward board")
        .words,
    ).toBe("Stopping Ward board was cancelled; it is as it was before");
  });
});
