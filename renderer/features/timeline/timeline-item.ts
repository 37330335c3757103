// What one row of the timeline is drawn from.
import type { ImageRecord } from "../../../electron/contract/image.js";
import type { GraphRow } from "./lineage-graph.js";

export interface TimelineItem {
  readonly id: string;
  readonly image: ImageRecord;
  readonly row: GraphRow;
  readonly laneCount: number;
  readonly scaleBytes: number;
  /** What the image is to the application now. */
  readonly badge: string | null;
}
