// What happened between two images: the occurrence, what was done about it, and why this and nothing else.
import type { ReactElement } from "react";
import { Icon } from "../../components/icon.js";
import { OCCURRENCE_WORDS, actionInWords } from "../../words/occurrence-words.js";
import { asSentence } from "../../words/sentences.js";
import { PassingGutter } from "./lineage-gutter.js";
import { Moment } from "./moment.js";
import type { OccurrenceItem } from "./timeline-item.js";

export function OccurrenceRow({ item }: { readonly item: OccurrenceItem }): ReactElement {
  const { occurrence, passing, laneCount } = item;
  const { kind, happened, decision, state } = occurrence;
  const passedOver = decision.passedOver.length;
  const bad = kind === "crash" || kind === "hang" || state === "failed";
  return (
    <div className="timeline-occurrence timeline-row">
      <PassingGutter lines={passing} laneCount={laneCount} />
      <Moment timestamp={occurrence.at} />
      <span className="two-lines">
        <span className="clipped">
          <span className={`occurrence-kind${bad ? " occurrence-bad" : ""}`}>
            <Icon name={bad ? "warning" : "restore"} />
            {OCCURRENCE_WORDS[kind]}
          </span>{" "}
          {asSentence(happened)}
        </span>
        <span className="timeline-second quiet">
          <span className="clipped" title={decision.reason}>
            {asSentence(`${actionInWords(occurrence)}: ${decision.reason}`)}
            {passedOver === 0 ? "" : ` ${passedOver} passed over.`}
          </span>
        </span>
      </span>
    </div>
  );
}
