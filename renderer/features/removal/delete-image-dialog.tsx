// Asks before an image is deleted, and says what goes with it.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { deleteImage } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { useClock } from "../../stores/clock.js";
import { closeDialog } from "../../stores/dialogs.js";
import { timelineOf, useImages } from "../../stores/images.js";
import { shortId, TRIGGER_WORDS } from "../../words/application-words.js";
import { dayAndTimeWithin } from "../../words/moments.js";
import { countOf, formatBytes } from "../../words/quantities.js";

export function DeleteImageDialog({
  image,
  application,
}: {
  readonly image: ImageRecord;
  readonly application: ApplicationRecord;
}): ReactElement {
  const left = useImages((state) => timelineOf(state, application.id).length - 1);
  const when = useClock((now) => dayAndTimeWithin(image.createdAt, now));
  const wakesFromIt = application.life === null && application.hibernatedImageId === image.id;
  return (
    <DialogFrame
      title="Delete this boot image?"
      role="alertdialog"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Keep it" onPress={closeDialog} autoFocus />
          <ActionButton
            label="Delete image"
            icon="delete"
            tone="danger"
            onPress={() => {
              closeDialog();
              void deleteImage(image);
            }}
          />
        </>
      }
    >
      <p>
        <strong>{image.label ?? `${TRIGGER_WORDS[image.trigger]} image`}</strong>{" "}
        <span className="mono quiet">{shortId(image.id)}</span> of {application.name}, taken {when}:{" "}
        {image.state === "missing"
          ? "its record is deleted; its file is not there any more."
          : `its file of ${formatBytes(image.fileBytes)} is deleted for good.`}
      </p>
      {wakesFromIt ? (
        <p className="warning-text">
          {application.name} is hibernated in this image. Without it, it can’t be woken where it
          was.
        </p>
      ) : null}
      <p className="quiet">
        {application.life === null ? "" : "What runs now is not touched. "}
        {left === 0
          ? "It is the only image of this application."
          : `${countOf(left, "image")} of this application ${left === 1 ? "stays" : "stay"}.`}
      </p>
    </DialogFrame>
  );
}
