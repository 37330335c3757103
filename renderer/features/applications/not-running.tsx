// What stands where an application's terminal or display would be while it does not run.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { startApplication, wakeApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { EmptyState } from "../../components/empty-state.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { asSentence } from "../../words/sentences.js";

export function NotRunning({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const connected = useConnection(isConnected);
  const { surface, name, state } = application;
  if (state === "hibernated") {
    return (
      <EmptyState
        icon="sleep"
        title={`${name} is hibernated`}
        actions={
          <ActionButton
            label="Wake it"
            icon="wake"
            isDisabled={!connected || application.operationId !== null}
            onPress={() => void wakeApplication(application.id)}
          />
        }
      >
        <p>It takes no memory now. Woken, it goes on where it was, screen and all.</p>
      </EmptyState>
    );
  }
  const canStart =
    connected && application.operationId === null && application.configProblem === null;
  return (
    <EmptyState
      icon={surface.kind === "display" ? "desktop" : "terminal"}
      title={state === "failed" ? `${name} has failed` : `${name} is not running`}
      actions={
        <ActionButton
          label="Start it"
          icon="play"
          isDisabled={!canStart}
          onPress={() => void startApplication(application.id)}
        />
      }
    >
      <p>
        {application.stateReason === null
          ? "Start it, or restore one of its images."
          : `${asSentence(application.stateReason)} Start it anew, or restore one of its images.`}
      </p>
    </EmptyState>
  );
}
