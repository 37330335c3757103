// One row's piece of the lineage graph. Rows lie without a gap, so that the pieces make whole lines.
import type { ReactElement } from "react";
import type { GraphLine, GraphRow } from "./lineage-graph.js";

const LANE = 14;
const MARGIN = 10;
/** Beyond this many lanes the graph would push the words away; further ones share the last. */
const MOST_LANES = 7;

export function gutterWidth(laneCount: number): number {
  return MARGIN * 2 + LANE * (Math.min(laneCount, MOST_LANES) - 1);
}

function laneX(lane: number): number {
  return MARGIN + LANE * Math.min(lane, MOST_LANES - 1);
}

function lineClass(line: Pick<GraphLine, "trunk">): string {
  return line.trunk ? "lineage-line lineage-trunk" : "lineage-line";
}

/** Down the lane, then round into the image. */
function arrivingPath(fromX: number, toX: number, height: number): string {
  const middle = height / 2;
  if (fromX === toX) return `M${fromX} 0V${middle}`;
  const bend = Math.min(middle, 12);
  return `M${fromX} 0V${middle - bend}C${fromX} ${middle} ${fromX} ${middle} ${fromX - bend} ${middle}H${toX}`;
}

export function LineageGutter({
  row,
  laneCount,
  height,
  hollow,
}: {
  readonly row: GraphRow;
  readonly laneCount: number;
  readonly height: number;
  /** The file is missing or damaged: there is a point in time, and nothing to go back to. */
  readonly hollow: boolean;
}): ReactElement {
  const x = laneX(row.lane);
  const middle = height / 2;
  return (
    <svg
      className="lineage-gutter"
      width={gutterWidth(laneCount)}
      height={height}
      aria-hidden="true"
      focusable="false"
    >
      {row.passing.map((line) => (
        <path key={line.lane} className={lineClass(line)} d={`M${laneX(line.lane)} 0V${height}`} />
      ))}
      {row.arriving.map((line) => (
        <path
          key={line.lane}
          className={lineClass(line)}
          d={arrivingPath(laneX(line.lane), x, height)}
        />
      ))}
      {row.leaving === "none" ? null : (
        <path
          className={`${lineClass(row)}${row.leaving === "cut" ? " lineage-cut" : ""}`}
          d={`M${x} ${middle}V${row.leaving === "cut" ? height - 4 : height}`}
        />
      )}
      <circle
        className={`lineage-node${row.trunk ? " lineage-trunk" : ""}${hollow ? " lineage-hollow" : ""}`}
        cx={x}
        cy={middle}
        r={5}
      />
    </svg>
  );
}

/** The row above the newest image: where the application is now. */
export function PresentGutter({
  laneCount,
  height,
  live,
  line,
}: {
  readonly laneCount: number;
  readonly height: number;
  readonly live: boolean;
  readonly line: boolean;
}): ReactElement {
  const x = laneX(0);
  return (
    <svg
      className="lineage-gutter"
      width={gutterWidth(laneCount)}
      height={height}
      aria-hidden="true"
      focusable="false"
    >
      {line ? (
        <path className="lineage-line lineage-trunk" d={`M${x} ${height / 2}V${height}`} />
      ) : null}
      <circle
        className={live ? "lineage-present lineage-live" : "lineage-present"}
        cx={x}
        cy={height / 2}
        r={6}
      />
      {live ? <circle className="lineage-live-core" cx={x} cy={height / 2} r={2.5} /> : null}
    </svg>
  );
}
