import { beforeEach, describe, expect, it } from "vitest";
import type { ImageRecord } from "../../electron/contract/image.js";
import {
  imagesStore,
  putImage,
  removeImage,
  replaceImages,
  selectedImageOf,
  selectImage,
  timelineOf,
} from "./images.js";

function image(id: string, minute: number, change: Partial<ImageRecord> = {}): ImageRecord {
  return {
    id,
    applicationId: "a",
    createdAt: `2026-11-23T10:${String(minute).padStart(2, "0")}:00.000Z`,
    trigger: "operator",
    label: null,
    state: "ok",
    stateReason: null,
    path: `/store/${id}.torpor`,
    sizes: { systemStateBytes: 1, physicalBytes: 2, virtualBytes: 3 },
    fileBytes: 6,
    pauseMs: 1,
    durationMs: 2,
    processes: 1,
    threads: 1,
    compress: "none",
    parentId: null,
    lineageParentId: null,
    life: 1,
    verifiedAt: null,
    restoredAt: null,
    notes: [],
    pinned: false,
    remark: null,
    healthyAt: null,
    suspectFor: [],
    failures: 0,
    ...change,
  };
}

const timeline = (): readonly string[] => timelineOf(imagesStore.getState(), "a");

beforeEach(() => {
  imagesStore.setState(imagesStore.getInitialState(), true);
});

describe("images", () => {
  it("are newest first, each application's by themselves", () => {
    replaceImages([
      image("1", 1),
      image("3", 3),
      image("x", 4, { applicationId: "b" }),
      image("2", 2),
    ]);
    expect(timeline()).toEqual(["3", "2", "1"]);
    expect(timelineOf(imagesStore.getState(), "b")).toEqual(["x"]);
    expect(timelineOf(imagesStore.getState(), "none")).toEqual([]);
  });

  it("find their place when they are new, whatever comes first", () => {
    replaceImages([image("1", 1), image("3", 3)]);
    putImage(image("2", 2));
    expect(timeline()).toEqual(["3", "2", "1"]);
  });

  it("leave the timeline as it is when only a record changes", () => {
    replaceImages([image("1", 1), image("2", 2)]);
    const before = timeline();
    putImage(image("1", 1, { label: "kept" }));
    expect(timeline()).toBe(before);
    expect(imagesStore.getState().byId["1"]?.label).toBe("kept");
  });

  it("hand the choice to the neighbour when the chosen one goes", () => {
    replaceImages([image("1", 1), image("2", 2), image("3", 3)]);
    selectImage("a", "2");
    removeImage("2");
    expect(selectedImageOf(imagesStore.getState(), "a")?.id).toBe("1");
    removeImage("1");
    expect(selectedImageOf(imagesStore.getState(), "a")?.id).toBe("3");
    removeImage("3");
    expect(selectedImageOf(imagesStore.getState(), "a")).toBeNull();
    removeImage("3");
    expect(timeline()).toEqual([]);
  });
});
