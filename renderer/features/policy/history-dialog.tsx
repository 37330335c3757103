// What happened to an application, what was done about it, and why every other image was passed over.
import { useEffect, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { toFailure } from "../../../electron/contract/failure.js";
import type { OccurrenceRecord } from "../../../electron/contract/occurrence.js";
import { request } from "../../bridge.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { Icon } from "../../components/icon.js";
import { closeDialog } from "../../stores/dialogs.js";
import { occurrencesOf, putOccurrences, useOccurrences } from "../../stores/occurrences.js";
import { shortId } from "../../words/application-words.js";
import { fullMoment } from "../../words/moments.js";
import { OCCURRENCE_WORDS, actionInWords } from "../../words/occurrence-words.js";
import { asSentence, asSentences } from "../../words/sentences.js";

const MOST_SHOWN = 100;

export function HistoryDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const { id, name } = application;
  const records = useOccurrences((state) => occurrencesOf(state, id));
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    // The page was given the newest of all applications: this one's may have been too old for that.
    request("agent:recovery.history", { app: id, limit: MOST_SHOWN }).then(
      ({ occurrences }) => putOccurrences(occurrences),
      (error: unknown) => setProblem(toFailure(error).message),
    );
  }, [id]);
  return (
    <DialogFrame title={`What happened to ${name}`} width="wide" onClose={closeDialog}>
      {problem === null ? null : <p role="alert">{problem}</p>}
      {records.length === 0 ? <p className="quiet">Nothing has happened yet.</p> : null}
      {/* Reachable by the keyboard, so that it can be scrolled. */}
      <ul className="notice-list" tabIndex={0} aria-label={`Occurrences of ${name}, newest first`}>
        {records.slice(0, MOST_SHOWN).map((record) => (
          <Occurrence key={record.id} record={record} />
        ))}
      </ul>
    </DialogFrame>
  );
}

function Occurrence({ record }: { readonly record: OccurrenceRecord }): ReactElement {
  const { kind, happened, at, decision, state, outcome } = record;
  const bad = kind === "crash" || kind === "hang" || state === "failed";
  return (
    <li className={`notice${bad ? " notice-error" : ""}`}>
      <Icon name={bad ? "warning" : "restore"} />
      <div>
        <p>
          <strong>{OCCURRENCE_WORDS[kind]}</strong>{" "}
          <span className="quiet figures">{fullMoment(at)}</span>
        </p>
        <p>{asSentence(happened)}</p>
        <p>{asSentences([`${actionInWords(record)}: ${decision.reason}`, outcome])}</p>
        {decision.passedOver.length === 0 ? null : (
          <ul className="quiet">
            {decision.passedOver.map(({ imageId, rule, reason }) => (
              <li key={`${rule}-${imageId}`}>
                Passed over <span className="mono">{shortId(imageId)}</span>: it {reason}.
              </li>
            ))}
          </ul>
        )}
      </div>
    </li>
  );
}
