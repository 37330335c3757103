// The applications at the left: state, the three live sizes, and what is being done to each.
import { useMemo, type ReactElement } from "react";
import { ListBox, ListBoxItem } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { PartsFigures } from "../../components/image-parts.js";
import { ProgressLine } from "../../components/progress-line.js";
import { StateMark } from "../../components/state-mark.js";
import { selectApplication, useApplications } from "../../stores/applications.js";
import { runningOperationOf, useOperations } from "../../stores/operations.js";
import { countOf } from "../../words/quantities.js";
import { OPERATION_WORDS, STATE_WORDS } from "../../words/application-words.js";

export function ApplicationList(): ReactElement {
  const order = useApplications((state) => state.order);
  const byId = useApplications((state) => state.byId);
  const selectedId = useApplications((state) => state.selectedId);
  const applications = useMemo(
    () => order.map((id) => byId[id]).filter((each) => each !== undefined),
    [order, byId],
  );
  return (
    <ListBox
      className="application-list"
      aria-label="Applications"
      items={applications}
      selectionMode="single"
      selectionBehavior="replace"
      disallowEmptySelection
      selectedKeys={selectedId === null ? [] : [selectedId]}
      onSelectionChange={(keys) => {
        const [key] = keys === "all" ? [] : [...keys];
        if (typeof key === "string") selectApplication(key);
      }}
    >
      {(application) => (
        <ListBoxItem
          id={application.id}
          className="application-item"
          textValue={`${application.name}, ${STATE_WORDS[application.state].word}`}
        >
          <ApplicationItem application={application} />
        </ListBoxItem>
      )}
    </ListBox>
  );
}

function ApplicationItem({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const { word, tone } = STATE_WORDS[application.state];
  const operation = useOperations((state) => runningOperationOf(state, application.id));
  return (
    <>
      <span className="application-item-name clipped">{application.name}</span>
      <span className="application-item-state">
        <StateMark tone={tone} word={word} />
        {application.configProblem === null ? (
          <span className="quiet">{countOf(application.imageCount, "image")}</span>
        ) : (
          <span className="application-item-problem">File has an error</span>
        )}
      </span>
      <span className="application-item-sizes">
        {application.measurement === null || application.life === null ? (
          <span className="quiet">{application.life === null ? "No process" : "Measuring…"}</span>
        ) : (
          <PartsFigures sizes={application.measurement.sizes} />
        )}
      </span>
      <span className="application-item-progress">
        {operation === null ? null : (
          <ProgressLine
            label={`${OPERATION_WORDS[operation.kind]} ${application.name}`}
            done={operation.doneBytes}
            total={operation.totalBytes}
          />
        )}
      </span>
    </>
  );
}
