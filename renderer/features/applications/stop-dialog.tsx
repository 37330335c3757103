// Asks before an application is stopped, because nothing of it is kept; hibernating is the way that keeps.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { hibernateApplication, stopApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";

export function StopDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const answer = (order: (id: string) => Promise<void>): void => {
    closeDialog();
    void order(application.id);
  };
  return (
    <DialogFrame
      title={`Stop ${application.name}?`}
      role="alertdialog"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Leave it running" onPress={closeDialog} autoFocus />
          <ActionButton
            label="Hibernate instead"
            icon="sleep"
            onPress={() => answer(hibernateApplication)}
          />
          <ActionButton
            label="Stop without image"
            icon="stop"
            tone="danger"
            onPress={() => answer(stopApplication)}
          />
        </>
      }
    >
      <p>
        It is asked to end, and ended when it doesn’t. What it has not saved itself is lost. Its
        images stay.
      </p>
    </DialogFrame>
  );
}
