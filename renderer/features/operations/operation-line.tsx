// The line under the header that is always there: the running operation with its progress and Cancel, or
// how the last one ended. It keeps its height, so that nothing moves when work begins.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { hasEnded, type OperationRecord } from "../../../electron/contract/operation.js";
import { cancelOperation } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { Icon } from "../../components/icon.js";
import { ProgressLine } from "../../components/progress-line.js";
import { useClock } from "../../stores/clock.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { useOperations } from "../../stores/operations.js";
import { howLongAgo } from "../../words/moments.js";
import { OPERATION_WORDS, PHASE_WORDS } from "../../words/application-words.js";
import { formatBytes } from "../../words/quantities.js";
import { outcomeInWords } from "./outcome-words.js";

export function OperationLine({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const operation = useOperations((state) => state.latest[application.id] ?? null);
  return (
    <section className="operation-line" aria-label="Operation">
      {operation === null ? (
        <p className="operation-text quiet">No operation is running.</p>
      ) : hasEnded(operation) ? (
        <Outcome operation={operation} application={application} />
      ) : (
        <Running operation={operation} application={application} />
      )}
    </section>
  );
}

interface LineProps {
  readonly operation: OperationRecord;
  readonly application: ApplicationRecord;
}

function Running({ operation, application }: LineProps): ReactElement {
  const connected = useConnection(isConnected);
  const { doneBytes, totalBytes } = operation;
  const cancelling = operation.state === "cancelling";
  const what = `${OPERATION_WORDS[operation.kind]} ${application.name}`;
  return (
    <>
      <p className="operation-text clipped" role="status">
        <strong>{what}</strong>
        <span className="quiet"> · {cancelling ? "cancelling" : PHASE_WORDS[operation.phase]}</span>
      </p>
      <ProgressLine label={what} done={doneBytes} total={totalBytes} />
      <span className="operation-bytes figures quiet">
        {doneBytes === null || totalBytes === 0
          ? ""
          : totalBytes === null
            ? formatBytes(doneBytes)
            : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`}
      </span>
      <ActionButton
        label="Cancel"
        icon="close"
        isDisabled={!operation.cancellable || cancelling || !connected}
        onPress={() => void cancelOperation(operation)}
      />
    </>
  );
}

function Outcome({ operation, application }: LineProps): ReactElement {
  const ago = useClock((now) => howLongAgo(operation.endedAt ?? operation.startedAt, now));
  const { tone, words } = outcomeInWords(operation, application.name);
  return (
    <p className={`operation-text operation-${tone} clipped`}>
      <Icon name={tone === "good" ? "check" : tone === "bad" ? "warning" : "info"} />
      <span role="status">{words}</span>
      <span className="quiet"> · {ago}</span>
    </p>
  );
}
