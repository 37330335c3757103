import { describe, expect, it } from "vitest";
import { whatRestoreLoses } from "./restore-loss.js";

const life = {
  number: 2,
  capsuleId: "ward-board.2",
  initPid: 100,
  rootPid: 101,
  startedAt: "2026-11-23T10:00:00.000Z",
  restoredFromImageId: null,
  currentImageId: null,
};
const measurement = {
  sizes: { systemStateBytes: 10, physicalBytes: 200, virtualBytes: 30 },
  processes: 3,
  measuredAt: "2026-11-23T10:09:00.000Z",
};

describe("whatRestoreLoses", () => {
  it("is nothing when nothing runs", () => {
    expect(whatRestoreLoses({ life: null, measurement: null }, null)).toEqual({
      kind: "nothing-runs",
    });
  });

  it("is all since the start of a life that has no image", () => {
    expect(whatRestoreLoses({ life, measurement }, null)).toEqual({
      kind: "since-start",
      since: "2026-11-23T10:00:00.000Z",
      imageId: null,
      processes: 3,
      memoryBytes: 230,
    });
  });

  it("is what came after the newest image of this life", () => {
    const current = { id: "a", createdAt: "2026-11-23T10:05:00.000Z" };
    expect(whatRestoreLoses({ life, measurement: null }, current)).toEqual({
      kind: "since-image",
      since: "2026-11-23T10:05:00.000Z",
      imageId: "a",
      processes: null,
      memoryBytes: null,
    });
  });

  it("is what came after the restore, when the life has no image of its own", () => {
    const current = { id: "old", createdAt: "2026-11-20T10:05:00.000Z" };
    const restored = { ...life, restoredFromImageId: "old", currentImageId: "old" };
    expect(whatRestoreLoses({ life: restored, measurement }, current)).toMatchObject({
      kind: "since-restore",
      since: "2026-11-23T10:00:00.000Z",
      imageId: "old",
    });
  });
});
