// The chosen boot image: all that the catalog knows of it, and what can be done with it.
import type { ReactElement, ReactNode } from "react";
import { useShallow } from "zustand/react/shallow";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { copyText, flattenImage, pinImage, verifyImage } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { Icon } from "../../components/icon.js";
import { PARTS } from "../../components/image-parts.js";
import { useClock } from "../../stores/clock.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { openDialog } from "../../stores/dialogs.js";
import { selectImage, selectedImageOf, timelineOf, useImages } from "../../stores/images.js";
import { basesOf, dependantsOf } from "./image-chain.js";
import {
  IMAGE_STATUS_WORDS,
  TRIGGER_WORDS,
  shortId,
  statusOfImage,
} from "../../words/application-words.js";
import { dayAndTime, fullMoment } from "../../words/moments.js";
import { countOf, formatBytes, formatMilliseconds } from "../../words/quantities.js";
import { ImagePicture } from "./image-picture.js";

export function ImageDetails({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const image = useImages((state) => {
    const newest = timelineOf(state, application.id)[0];
    return (
      selectedImageOf(state, application.id) ??
      (newest === undefined ? null : (state.byId[newest] ?? null))
    );
  });
  return (
    <aside className="image-details" aria-label="Chosen image" data-pane="details">
      {image === null ? (
        <p className="image-details-none quiet">Choose an image to see what it holds.</p>
      ) : (
        <Chosen image={image} application={application} />
      )}
    </aside>
  );
}

interface ChosenProps {
  readonly image: ImageRecord;
  readonly application: ApplicationRecord;
}

function Chosen({ image, application }: ChosenProps): ReactElement {
  const when = useClock((now) => dayAndTime(image.createdAt, now));
  return (
    <>
      <header className="image-details-header">
        <h2 className="clipped">{image.label ?? `${TRIGGER_WORDS[image.trigger]} image`}</h2>
        <ActionButton
          label={image.label === null ? "Add a label" : "Change the label"}
          icon="label"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "label-image", imageId: image.id })}
        />
        <p className="quiet figures">{when}</p>
      </header>
      <ImageActions image={image} application={application} />
      <div className="image-details-body">
        {image.stateReason === null && image.state === "ok" ? null : (
          <p className="image-details-fault selectable">
            <Icon name="warning" />
            <span>
              {reasonOf(image) ??
                (image.state === "missing"
                  ? "Its file is not there. It comes back when the file does."
                  : image.state === "incomplete"
                    ? "An image that it builds on is not there."
                    : "A block of it is damaged; it can’t be restored.")}
            </span>
          </p>
        )}
        <ImagePicture image={image} />
        <dl className="facts figures">
          {PARTS.map(({ key, name, className }) => (
            <Fact
              key={key}
              term={
                <>
                  <span className={`part-swatch ${className}`} aria-hidden="true" />
                  {name}
                </>
              }
            >
              {formatBytes(image.sizes[key])}
            </Fact>
          ))}
        </dl>
        <dl className="facts figures">
          <Fact term="File">
            {formatBytes(image.fileBytes)}
            {image.compress === null || image.compress === "none" ? "" : `, ${image.compress}`}
          </Fact>
          <Fact term="Tree">
            {countOf(image.processes, "process", "processes")}
            {image.threads === null ? "" : `, ${countOf(image.threads, "thread")}`}
          </Fact>
          <Fact term="Pause">
            {image.pauseMs === null ? "not known" : formatMilliseconds(image.pauseMs)}
          </Fact>
          {image.durationMs === null ? null : (
            <Fact term="Written in">{formatMilliseconds(image.durationMs)}</Fact>
          )}
          <Fact term="Trigger">{TRIGGER_WORDS[image.trigger]}</Fact>
          <Fact term="Life">{image.life === 0 ? "not known" : `No. ${image.life}`}</Fact>
          <Lineage image={image} />
          <Chain image={image} />
          <Fact term="Verified">
            {image.verifiedAt === null ? "never" : fullMoment(image.verifiedAt)}
          </Fact>
          <Fact term="Known healthy">
            {image.healthyAt === null ? "not yet" : `since ${fullMoment(image.healthyAt)}`}
          </Fact>
          {image.suspectFor.length === 0 ? null : (
            <Fact term="Suspect">
              for {image.suspectFor.join(", ")}: {countOf(image.failures, "life", "lives")} of it
              failed soon
            </Fact>
          )}
          <Remark image={image} />
          <Fact term="Restored">
            {image.restoredAt === null ? "never" : fullMoment(image.restoredAt)}
          </Fact>
          <CopyFact term="Image" value={image.id} shown={shortId(image.id)} />
          <CopyFact term="Path" value={image.path} shown={image.path} />
        </dl>
        {image.notes.length === 0 ? null : (
          <ul className="image-notes selectable">
            {image.notes.map((note, index) => (
              <li key={index}>{note}</li>
            ))}
          </ul>
        )}
      </div>
    </>
  );
}

function ImageActions({ image, application }: ChosenProps): ReactElement {
  const connected = useConnection(isConnected);
  const free = connected && application.operationId === null;
  const why = connected
    ? free
      ? undefined
      : "An operation is running"
    : "The agent can’t be reached";
  const status = statusOfImage(image);
  const usable = image.state === "ok";
  return (
    <div className="image-actions" role="group" aria-label="Actions on the image">
      <ActionButton
        label="Restore this image"
        icon="restore"
        tone="primary"
        isDisabled={!free || !usable}
        hint={
          why ?? (usable ? undefined : `Its file is ${IMAGE_STATUS_WORDS[status].toLowerCase()}`)
        }
        onPress={() => openDialog({ kind: "restore", imageId: image.id })}
      />
      <ActionButton
        label="Verify"
        icon="verify"
        isDisabled={!free || status === "missing"}
        hint={why ?? "Reads every block and compares its checksum"}
        onPress={() => void verifyImage(image)}
      />
      {image.parentId === null ? null : (
        <ActionButton
          label="Make whole"
          icon="contents"
          iconOnly
          isDisabled={!free || !usable}
          hint={why ?? "Writes it anew, so that it needs no other image"}
          onPress={() => void flattenImage(image)}
        />
      )}
      <ActionButton
        label={image.pinned ? "Unpin" : "Pin"}
        icon={image.pinned ? "unpin" : "pin"}
        iconOnly
        isDisabled={!connected}
        hint="No rule deletes a pinned image"
        onPress={() => void pinImage(image, !image.pinned)}
      />
      <ActionButton
        label="Contents"
        icon="contents"
        iconOnly
        isDisabled={!connected || status === "missing"}
        onPress={() => openDialog({ kind: "image-contents", imageId: image.id })}
      />
      <ActionButton
        label="Delete"
        icon="delete"
        iconOnly
        isDisabled={!free}
        hint={why}
        onPress={() => openDialog({ kind: "delete-image", imageId: image.id })}
      />
    </div>
  );
}

function Lineage({ image }: { readonly image: ImageRecord }): ReactElement {
  const parent = useImages((state) =>
    image.lineageParentId === null ? null : (state.byId[image.lineageParentId] ?? null),
  );
  return (
    <Fact term="Comes from">
      {image.lineageParentId === null ? (
        "a clean start"
      ) : parent === null ? (
        <>
          <span className="mono">{shortId(image.lineageParentId)}</span>, deleted since
        </>
      ) : (
        <button
          type="button"
          className="link-button"
          onClick={() => selectImage(parent.applicationId, parent.id)}
        >
          {parent.label ?? TRIGGER_WORDS[parent.trigger]}{" "}
          <span className="mono">{shortId(parent.id)}</span>
        </button>
      )}
    </Fact>
  );
}

/** What the catalog says of a fault; of an incomplete image it says "builds on …". */
function reasonOf({ state, stateReason }: ImageRecord): string | null {
  return state === "incomplete" && stateReason !== null ? `It ${stateReason}.` : stateReason;
}

function inDigits(ids: readonly string[]): string {
  return ids.map(shortId).join(", ");
}

/** Which images it needs, and which need it. */
function Chain({ image }: { readonly image: ImageRecord }): ReactElement {
  const bases = useImages(useShallow((state) => basesOf(image, state.byId)));
  const dependants = useImages(useShallow((state) => dependantsOf(image, state.byId)));
  return (
    <>
      <Fact term="Builds on">
        {bases.length === 0 ? "no other image" : <span className="mono">{inDigits(bases)}</span>}
      </Fact>
      {dependants.length === 0 ? null : (
        <Fact term="Needed by">
          <span className="mono">{inDigits(dependants)}</span>
        </Fact>
      )}
    </>
  );
}

function Remark({ image }: { readonly image: ImageRecord }): ReactElement {
  return (
    <div>
      <dt>Remark</dt>
      <dd className="editable-fact">
        <span className="selectable">{image.remark ?? <span className="quiet">none</span>}</span>
        <ActionButton
          label={image.remark === null ? "Write a remark" : "Change the remark"}
          icon="edit"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "remark-image", imageId: image.id })}
        />
      </dd>
    </div>
  );
}

function Fact({
  term,
  children,
}: {
  readonly term: ReactNode;
  readonly children: ReactNode;
}): ReactElement {
  return (
    <div>
      <dt>{term}</dt>
      <dd className="selectable">{children}</dd>
    </div>
  );
}

function CopyFact({
  term,
  value,
  shown,
}: {
  readonly term: string;
  readonly value: string;
  readonly shown: string;
}): ReactElement {
  return (
    <div>
      <dt>{term}</dt>
      <dd className="copy-fact">
        <span className="mono clipped selectable" title={value}>
          {shown}
        </span>
        <ActionButton
          label={`Copy ${term.toLowerCase()}`}
          icon="copy"
          iconOnly
          tone="bare"
          onPress={() => void copyText(value)}
        />
      </dd>
    </div>
  );
}
