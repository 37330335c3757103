// Asks before a restore: says what the running life would lose, since when, and offers to capture it
// first. That is on by default, so that the answer given without reading loses nothing.
import { useState, type ReactElement } from "react";
import { CheckboxButton, CheckboxField } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { restoreImage } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { Icon } from "../../components/icon.js";
import { useClock } from "../../stores/clock.js";
import { closeDialog } from "../../stores/dialogs.js";
import { useImages } from "../../stores/images.js";
import { shortId, TRIGGER_WORDS } from "../../words/application-words.js";
import { dayAndTimeWithin, howLongAgo, lastedSince } from "../../words/moments.js";
import { countOf, formatBytes } from "../../words/quantities.js";
import { whatRestoreLoses, type RestoreLoss } from "./restore-loss.js";

export function RestoreDialog({
  image,
  application,
}: {
  readonly image: ImageRecord;
  readonly application: ApplicationRecord;
}): ReactElement {
  const currentId = application.life?.currentImageId ?? null;
  const current = useImages((state) =>
    currentId === null ? null : (state.byId[currentId] ?? null),
  );
  const loss = whatRestoreLoses(application, current);
  const [captureFirst, setCaptureFirst] = useState(true);
  const when = useClock(
    (now) => `${dayAndTimeWithin(image.createdAt, now)} (${howLongAgo(image.createdAt, now)})`,
  );
  const runs = loss.kind !== "nothing-runs";
  return (
    <DialogFrame
      title={`Restore ${application.name}?`}
      role="alertdialog"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Leave as it is" onPress={closeDialog} autoFocus />
          <ActionButton
            label={runs && captureFirst ? "Capture and restore" : "Restore"}
            icon="restore"
            tone={runs && !captureFirst ? "danger" : "primary"}
            onPress={() => {
              closeDialog();
              void restoreImage(image, runs && captureFirst);
            }}
          />
        </>
      }
    >
      <p>
        {application.name} goes back to{" "}
        <strong>
          {image.label ?? `the image of ${TRIGGER_WORDS[image.trigger].toLowerCase()}`}
        </strong>{" "}
        <span className="mono quiet">{shortId(image.id)}</span>, taken {when}.
      </p>
      {loss.kind === "nothing-runs" ? (
        <p>Nothing of it runs now, so nothing is lost.</p>
      ) : (
        <>
          <Loss loss={loss} current={current} captureFirst={captureFirst} />
          <CheckboxField isSelected={captureFirst} onChange={setCaptureFirst}>
            <CheckboxButton className="checkbox">
              <span className="checkbox-box" aria-hidden="true">
                <Icon name="check" />
              </span>
              <span>
                Capture the running state first
                <span className="quiet checkbox-note">
                  It becomes an image on the timeline, and can be restored like any other.
                </span>
              </span>
            </CheckboxButton>
          </CheckboxField>
        </>
      )}
      <p className="quiet">No image is deleted. If the restore fails, what runs now goes on.</p>
    </DialogFrame>
  );
}

function Loss({
  loss,
  current,
  captureFirst,
}: {
  readonly loss: Exclude<RestoreLoss, { kind: "nothing-runs" }>;
  readonly current: ImageRecord | null;
  readonly captureFirst: boolean;
}): ReactElement {
  const span = useClock((now) => lastedSince(loss.since, now));
  const since = useClock((now) => dayAndTimeWithin(loss.since, now));
  const size = [
    loss.processes === null ? null : countOf(loss.processes, "process", "processes"),
    loss.memoryBytes === null ? null : `${formatBytes(loss.memoryBytes)} of memory`,
  ].filter((part) => part !== null);
  const named =
    current === null
      ? ""
      : ` (${current.label ?? TRIGGER_WORDS[current.trigger]}, ${shortId(current.id)})`;
  const origin =
    loss.kind === "since-image"
      ? `its newest image${named}`
      : loss.kind === "since-restore"
        ? "it was last restored"
        : "its clean start";
  return (
    <div className={captureFirst ? "loss loss-covered" : "loss"} role="status">
      <Icon name={captureFirst ? "capture" : "warning"} />
      <div>
        <p>
          <strong>
            {captureFirst ? "Nothing is lost." : `The last ${span} of the running state are lost.`}
          </strong>
        </p>
        <p>
          {captureFirst
            ? `What it did in the ${span} since ${origin}, ${since}, is captured before it is replaced.`
            : `Everything since ${origin}, ${since}, would be gone: no image holds it.`}
        </p>
        {size.length === 0 ? null : <p className="quiet">Running now: {size.join(", ")}.</p>}
      </div>
    </div>
  );
}
