import { describe, expect, it } from "vitest";
import type { ImageRecord } from "../../../electron/contract/image.js";
import type { OccurrenceRecord } from "../../../electron/contract/occurrence.js";
import { layOutLineage } from "./lineage-graph.js";
import { interleave, type ImageItem } from "./timeline-item.js";

function at(minute: number): string {
  return `2026-11-23T10:${String(minute).padStart(2, "0")}:00.000Z`;
}

function timeline(
  minutes: readonly number[],
  liveMinute: number | null,
): { items: ImageItem[]; graph: ReturnType<typeof layOutLineage> } {
  const images = minutes.map((minute, index) => ({
    id: String(minute),
    createdAt: at(minute),
    lineageParentId: minutes[index + 1] === undefined ? null : String(minutes[index + 1]),
  })) as ImageRecord[];
  const graph = layOutLineage(images, liveMinute === null ? null : String(liveMinute));
  const items = images.map((image, index): ImageItem => {
    const row = graph.rows[index];
    if (row === undefined) throw new Error("a row for each image");
    return {
      kind: "image",
      id: image.id,
      image,
      row,
      laneCount: graph.laneCount,
      scaleBytes: 1,
      badge: null,
    };
  });
  return { items, graph };
}

function happened(...minutes: number[]): OccurrenceRecord[] {
  return minutes.map((minute) => ({ id: minute, at: at(minute) })) as OccurrenceRecord[];
}

describe("interleave", () => {
  it("puts each occurrence where it happened, above the images that are older", () => {
    const { items, graph } = timeline([40, 20], 40);
    const ids = interleave(items, happened(50, 30, 21, 10), graph).map(({ id }) => id);
    expect(ids).toEqual([
      "occurrence-50",
      "40",
      "occurrence-30",
      "occurrence-21",
      "20",
      "occurrence-10",
    ]);
  });

  it("lets the graph's lines run past it, and only those that do", () => {
    const { items, graph } = timeline([40, 20], 40);
    const passing = interleave(items, happened(50, 30, 10), graph).flatMap((item) =>
      item.kind === "occurrence" ? [item.passing] : [],
    );
    expect(passing).toEqual([[{ lane: 0, trunk: true }], [{ lane: 0, trunk: true }], []]);
  });

  it("draws no line of a life that stands nowhere", () => {
    const { items, graph } = timeline([40], null);
    expect(interleave(items, happened(50), graph)[0]).toMatchObject({ passing: [] });
  });

  it("lists them also where there is no image", () => {
    expect(interleave([], happened(5, 3), { laneCount: 1, liveLine: false })).toHaveLength(2);
  });
});
