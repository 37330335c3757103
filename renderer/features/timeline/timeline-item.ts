// What one row of the timeline is drawn from, and how images and occurrences come into one order.
import type { ImageRecord } from "../../../electron/contract/image.js";
import type { OccurrenceRecord } from "../../../electron/contract/occurrence.js";
import type { GraphLine, GraphRow, LineageGraph } from "./lineage-graph.js";

export interface ImageItem {
  readonly kind: "image";
  readonly id: string;
  readonly image: ImageRecord;
  readonly row: GraphRow;
  readonly laneCount: number;
  readonly scaleBytes: number;
  /** What the image is to the application now. */
  readonly badge: string | null;
}

export interface OccurrenceItem {
  readonly kind: "occurrence";
  /** Not an image's: those are hexadecimal. */
  readonly id: string;
  readonly occurrence: OccurrenceRecord;
  /** The lines of the graph that run past it. */
  readonly passing: readonly GraphLine[];
  readonly laneCount: number;
}

export type TimelineItem = ImageItem | OccurrenceItem;

/**
 * Puts each occurrence between the images where it happened.
 * @param images newest first
 * @param occurrences newest first
 */
export function interleave(
  images: readonly ImageItem[],
  occurrences: readonly OccurrenceRecord[],
  graph: Pick<LineageGraph, "laneCount" | "liveLine">,
): TimelineItem[] {
  const { laneCount } = graph;
  const items: TimelineItem[] = [];
  let passing: readonly GraphLine[] = graph.liveLine ? [{ lane: 0, trunk: true }] : [];
  let next = 0;
  const putUntil = (createdAt: string): void => {
    for (; next < occurrences.length; next += 1) {
      const occurrence = occurrences[next];
      if (occurrence === undefined || occurrence.at < createdAt) return;
      items.push({
        kind: "occurrence",
        id: `occurrence-${occurrence.id}`,
        occurrence,
        passing,
        laneCount,
      });
    }
  };
  for (const item of images) {
    putUntil(item.image.createdAt);
    items.push(item);
    const { row } = item;
    passing =
      row.leaving === "down" ? [...row.passing, { lane: row.lane, trunk: row.trunk }] : row.passing;
  }
  putUntil("");
  return items;
}
