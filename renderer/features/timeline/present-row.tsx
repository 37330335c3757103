// The row above the newest image: what the application is right now, and where that came from.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { useClock } from "../../stores/clock.js";
import { useImages } from "../../stores/images.js";
import { shortId, STATE_WORDS } from "../../words/application-words.js";
import { dayAndTimeWithin } from "../../words/moments.js";
import { PresentGutter } from "./lineage-gutter.js";

export function PresentRow({
  application,
  laneCount,
  line,
}: {
  readonly application: ApplicationRecord;
  readonly laneCount: number;
  readonly line: boolean;
}): ReactElement {
  const { life } = application;
  const origin = useImages((state) =>
    life?.restoredFromImageId == null ? null : (state.byId[life.restoredFromImageId] ?? null),
  );
  const began = useClock((now) => dayAndTimeWithin(life?.startedAt ?? application.stateSince, now));
  return (
    <div className="timeline-present timeline-row">
      <PresentGutter laneCount={laneCount} live={life !== null} line={line} />
      <span className="timeline-time">Now</span>
      <span className="clipped">
        {life === null ? (
          <span className="quiet">{STATE_WORDS[application.state].word}: nothing runs</span>
        ) : life.restoredFromImageId === null ? (
          <>
            Running since a clean start <span className="quiet">· {began}</span>
          </>
        ) : (
          <>
            Running from{" "}
            {origin?.label == null ? null : <span className="timeline-label">{origin.label} </span>}
            <span className="mono">{shortId(life.restoredFromImageId)}</span>
            <span className="quiet"> · since {began}</span>
          </>
        )}
      </span>
    </div>
  );
}
