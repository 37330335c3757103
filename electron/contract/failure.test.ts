import { describe, expect, it } from "vitest";
import { describeFailure, FailureError, toFailure } from "./failure.js";

describe("describeFailure", () => {
  it("makes one message of its parts", () => {
    const failure = describeFailure("busy", {
      happened: "It is busy.",
      unchanged: "Nothing was changed.",
      remedy: "Wait.",
      operationId: "op-1",
    });
    expect(failure.message).toBe("It is busy. Nothing was changed. Wait.");
    expect(failure.detail?.operationId).toBe("op-1");
  });
});

describe("toFailure", () => {
  it("keeps a failure and calls everything else a defect", () => {
    const failure = describeFailure("no-room", { happened: "Full." });
    expect(toFailure(new FailureError(failure))).toBe(failure);
    expect(toFailure(new TypeError("x is not a function"))).toMatchObject({
      code: "internal",
      message: expect.stringContaining("x is not a function") as string,
    });
  });
});
