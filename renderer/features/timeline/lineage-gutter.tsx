// One row's piece of the lineage graph. Rows lie without a gap, so that the pieces make whole lines.
import type { ReactElement, ReactNode } from "react";
import type { GraphLine, GraphRow } from "./lineage-graph.js";

/** All in units of which a rem has 13, so that the graph grows with the words beside it. */
const UNITS_PER_REM = 13;
export const ROW_HEIGHT_REM = 3.2;
const HEIGHT = ROW_HEIGHT_REM * UNITS_PER_REM;
const MIDDLE = HEIGHT / 2;
const LANE = 14;
const MARGIN = 10;
/** Beyond this many lanes the graph would push the words away; further ones share the last. */
const MOST_LANES = 7;

function gutterWidth(laneCount: number): number {
  return MARGIN * 2 + LANE * (Math.min(laneCount, MOST_LANES) - 1);
}

export function gutterWidthRem(laneCount: number): number {
  return gutterWidth(laneCount) / UNITS_PER_REM;
}

function laneX(lane: number): number {
  return MARGIN + LANE * Math.min(lane, MOST_LANES - 1);
}

function lineClass(line: Pick<GraphLine, "trunk">): string {
  return line.trunk ? "lineage-line lineage-trunk" : "lineage-line";
}

/** Down the lane, then round into the image. */
function arrivingPath(fromX: number, toX: number): string {
  if (fromX === toX) return `M${fromX} 0V${MIDDLE}`;
  const bend = 12;
  return `M${fromX} 0V${MIDDLE - bend}C${fromX} ${MIDDLE} ${fromX} ${MIDDLE} ${fromX - bend} ${MIDDLE}H${toX}`;
}

function Frame({
  laneCount,
  children,
}: {
  readonly laneCount: number;
  readonly children: ReactNode;
}): ReactElement {
  return (
    <svg
      className="lineage-gutter"
      viewBox={`0 0 ${gutterWidth(laneCount)} ${HEIGHT}`}
      // Rows are laid out in whole pixels: the graph fills them, or lines would have gaps.
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

export function LineageGutter({
  row,
  laneCount,
  hollow,
}: {
  readonly row: GraphRow;
  readonly laneCount: number;
  /** The file is missing or damaged: there is a point in time, and nothing to go back to. */
  readonly hollow: boolean;
}): ReactElement {
  const x = laneX(row.lane);
  return (
    <Frame laneCount={laneCount}>
      {row.passing.map((line) => (
        <path key={line.lane} className={lineClass(line)} d={`M${laneX(line.lane)} 0V${HEIGHT}`} />
      ))}
      {row.arriving.map((line) => (
        <path key={line.lane} className={lineClass(line)} d={arrivingPath(laneX(line.lane), x)} />
      ))}
      {row.leaving === "none" ? null : (
        <path
          className={`${lineClass(row)}${row.leaving === "cut" ? " lineage-cut" : ""}`}
          d={`M${x} ${MIDDLE}V${row.leaving === "cut" ? HEIGHT - 4 : HEIGHT}`}
        />
      )}
      <circle
        className={`lineage-node${row.trunk ? " lineage-trunk" : ""}${hollow ? " lineage-hollow" : ""}`}
        cx={x}
        cy={MIDDLE}
        r={5}
      />
    </Frame>
  );
}

/** A row that is no point of the lineage: its lines only run past. */
export function PassingGutter({
  lines,
  laneCount,
}: {
  readonly lines: readonly GraphLine[];
  readonly laneCount: number;
}): ReactElement {
  return (
    <Frame laneCount={laneCount}>
      {lines.map((line) => (
        <path key={line.lane} className={lineClass(line)} d={`M${laneX(line.lane)} 0V${HEIGHT}`} />
      ))}
    </Frame>
  );
}

/** The row above the newest image: where the application is now. */
export function PresentGutter({
  laneCount,
  live,
  line,
}: {
  readonly laneCount: number;
  readonly live: boolean;
  readonly line: boolean;
}): ReactElement {
  const x = laneX(0);
  return (
    <Frame laneCount={laneCount}>
      {line ? (
        <path className="lineage-line lineage-trunk" d={`M${x} ${MIDDLE}V${HEIGHT}`} />
      ) : null}
      <circle
        className={live ? "lineage-present lineage-live" : "lineage-present"}
        cx={x}
        cy={MIDDLE}
        r={6}
      />
      {live ? <circle className="lineage-live-core" cx={x} cy={MIDDLE} r={2.5} /> : null}
    </Frame>
  );
}
