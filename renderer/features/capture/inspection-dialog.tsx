// What stands in the way of a capture, found without touching the application.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { Inspection } from "../../../electron/contract/helper-output.js";
import { useAnswer } from "../../answer.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { BlockerList, FailureAnswer } from "../../components/failure-text.js";
import { Icon } from "../../components/icon.js";
import { PartsMeters } from "../../components/image-parts.js";
import { ProcessTable } from "../../components/process-table.js";
import { closeDialog } from "../../stores/dialogs.js";
import { countOf } from "../../words/quantities.js";

export function InspectionDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const answer = useAnswer("agent:inspect.run", { app: application.id });
  return (
    <DialogFrame
      title={`What stands in the way of capturing ${application.name}`}
      width="wide"
      onClose={closeDialog}
    >
      {answer.kind === "loading" ? (
        <p className="quiet">Looking at the process tree…</p>
      ) : answer.kind === "failed" ? (
        <FailureAnswer failure={answer.failure} />
      ) : (
        <Findings inspection={answer.value.inspection} />
      )}
    </DialogFrame>
  );
}

function Findings({ inspection }: { readonly inspection: Inspection }): ReactElement {
  const { blockers, warnings, processes, sizes } = inspection;
  return (
    <>
      <p className={blockers.length === 0 ? "finding finding-good" : "finding finding-bad"}>
        <Icon name={blockers.length === 0 ? "check" : "warning"} />
        <strong>
          {blockers.length === 0
            ? "Nothing: it can be captured now."
            : `${countOf(blockers.length, "thing")} can’t be captured.`}
        </strong>
      </p>
      <BlockerList blockers={blockers} />
      {warnings.length === 0 ? null : (
        <>
          <h3>May not come back as it was</h3>
          <BlockerList blockers={warnings} />
        </>
      )}
      <PartsMeters sizes={sizes} />
      <ProcessTable
        processes={processes.map((process) => ({
          pid: process.pid,
          parentPid: process.ppid,
          threads: process.threads,
          command: process.cmdline.join(" ") || process.comm,
        }))}
      />
    </>
  );
}
