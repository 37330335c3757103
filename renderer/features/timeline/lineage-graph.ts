// The lineage of a timeline as lanes: which line runs where, row by row, newest first. A restore of an
// old image followed by a capture makes a branch; a branch runs down its own lane and bends into the
// lane of the image that it came from. The running life is the trunk, always in the first lane.

export interface LineageImage {
  readonly id: string;
  readonly lineageParentId: string | null;
}

/** A line through one row: down a lane, or from a lane into the row's own image. */
export interface GraphLine {
  readonly lane: number;
  /** True for a line on the way from the running life to its first ancestor. */
  readonly trunk: boolean;
}

export interface GraphRow {
  readonly imageId: string;
  readonly lane: number;
  /** The running life came through this image. */
  readonly trunk: boolean;
  /** Lines that only pass. */
  readonly passing: readonly GraphLine[];
  /** Lines that come down from images (or the life) that follow this one, and end in it. */
  readonly arriving: readonly GraphLine[];
  /** Where the line to the image before this one goes: into the row below, nowhere, or to one deleted since. */
  readonly leaving: "none" | "down" | "cut";
}

export interface LineageGraph {
  readonly rows: readonly GraphRow[];
  readonly laneCount: number;
  /** The running life's line leaves the row above the newest image. */
  readonly liveLine: boolean;
}

/** A lane's line: which image it looks for further down. */
interface OpenLine {
  readonly waitsFor: string;
  readonly trunk: boolean;
}

/**
 * @param images newest first
 * @param liveImageId where the running life stands; null when nothing runs or it has no image yet
 */
export function layOutLineage(
  images: readonly LineageImage[],
  liveImageId: string | null,
): LineageGraph {
  const positions = new Map(images.map((image, index) => [image.id, index]));
  const liveLine = liveImageId !== null && positions.has(liveImageId);
  const lanes: (OpenLine | null)[] = liveLine ? [{ waitsFor: liveImageId, trunk: true }] : [];
  let laneCount = 1;

  const rows = images.map((image, index): GraphRow => {
    const arriving: GraphLine[] = [];
    const passing: GraphLine[] = [];
    lanes.forEach((line, lane) => {
      if (line === null) return;
      (line.waitsFor === image.id ? arriving : passing).push({ lane, trunk: line.trunk });
    });
    const first = arriving[0];
    const lane = first === undefined ? freeLane(lanes) : first.lane;
    const trunk = arriving.some((line) => line.trunk);
    for (const line of arriving) lanes[line.lane] = null;

    const parentPosition =
      image.lineageParentId === null ? undefined : positions.get(image.lineageParentId);
    // A parent that is not further down (a clock that was set back) can't be drawn to.
    const parentBelow = parentPosition !== undefined && parentPosition > index;
    lanes[lane] =
      parentBelow && image.lineageParentId !== null
        ? { waitsFor: image.lineageParentId, trunk }
        : null;
    laneCount = Math.max(laneCount, lanes.length);
    const leaving = parentBelow ? "down" : image.lineageParentId === null ? "none" : "cut";
    return { imageId: image.id, lane, trunk, passing, arriving, leaving };
  });
  return { rows, laneCount, liveLine };
}

function freeLane(lanes: readonly (OpenLine | null)[]): number {
  const gap = lanes.indexOf(null);
  return gap === -1 ? lanes.length : gap;
}
