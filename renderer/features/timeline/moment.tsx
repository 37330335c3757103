// When a row of the timeline was: the time of the day, and how long ago.
import type { ReactElement } from "react";
import { useClock } from "../../stores/clock.js";
import { clockTime, dayName, howLongAgo } from "../../words/moments.js";

export function Moment({ timestamp }: { readonly timestamp: string }): ReactElement {
  const day = useClock((now) => dayName(timestamp, now));
  const ago = useClock((now) => howLongAgo(timestamp, now));
  return (
    <span className="two-lines figures">
      <span className="timeline-time">{clockTime(timestamp)}</span>
      <span className="quiet clipped">{day === "Today" ? ago : `${day} · ${ago}`}</span>
    </span>
  );
}
