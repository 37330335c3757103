// What happened to an application, what was done about it, and why every other image was passed over.
import { useEffect, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { toFailure } from "../../../electron/contract/failure.js";
import type { OccurrenceRecord } from "../../../electron/contract/occurrence.js";
import { request } from "../../bridge.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";
import { shortId } from "../../words/application-words.js";
import { fullMoment } from "../../words/moments.js";

export function HistoryDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const [records, setRecords] = useState<readonly OccurrenceRecord[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const { id, stateSince } = application;
  useEffect(() => {
    request("agent:recovery.history", { app: id, limit: 100 }).then(
      ({ occurrences }) => setRecords(occurrences),
      (error: unknown) => setProblem(toFailure(error).message),
    );
    // Anew whenever the application's state changes: that is when something has happened.
  }, [id, stateSince]);
  return (
    <DialogFrame title={`What happened to ${application.name}`} width="wide" onClose={closeDialog}>
      {problem === null ? null : <p>{problem}</p>}
      {records.length === 0 ? <p className="quiet">Nothing has happened yet.</p> : null}
      <ul className="notice-list">
        {records.map((record) => (
          <li key={record.id}>
            <p>
              <strong>{record.kind}</strong>: {record.happened}{" "}
              <span className="quiet figures">{fullMoment(record.at)}</span>
            </p>
            <p>
              {actionOf(record)}: {record.decision.reason}.
              {record.outcome === null ? "" : ` ${record.state}: ${record.outcome}.`}
            </p>
            <ul className="quiet">
              {record.decision.passedOver.map(({ imageId, rule, reason }) => (
                <li key={`${rule}-${imageId}`}>
                  Passed over <span className="mono">{shortId(imageId)}</span>: it {reason}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </DialogFrame>
  );
}

function actionOf({ decision }: OccurrenceRecord): string {
  switch (decision.action) {
    case "restore":
      return `Restored image ${shortId(decision.imageId ?? "")}`;
    case "start":
      return "Started cleanly";
    case "nothing":
      return "Nothing was done";
    case "give-up":
      return "Given up";
  }
}
