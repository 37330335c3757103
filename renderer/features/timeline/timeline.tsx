// The timeline of one application: its boot images, newest first, with the lineage that connects them, and
// what happened between them.
import { useMemo, type CSSProperties, type ReactElement } from "react";
import { ListBox, ListBoxItem, ListLayout, Virtualizer } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { captureApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { EmptyState } from "../../components/empty-state.js";
import { totalOf } from "../../components/image-parts.js";
import { useRootFontSize } from "../../components/root-font-size.js";
import { connectionStore, isConnected, useConnection } from "../../stores/connection.js";
import { openDialog } from "../../stores/dialogs.js";
import { selectImage, timelineOf, useImages } from "../../stores/images.js";
import { occurrencesOf, useOccurrences } from "../../stores/occurrences.js";
import { TRIGGER_WORDS } from "../../words/application-words.js";
import { fullMoment } from "../../words/moments.js";
import { OCCURRENCE_WORDS } from "../../words/occurrence-words.js";
import { countOf, formatBytes } from "../../words/quantities.js";
import { layOutLineage } from "./lineage-graph.js";
import { gutterWidthRem, ROW_HEIGHT_REM } from "./lineage-gutter.js";
import { OccurrenceRow } from "./occurrence-row.js";
import { PresentRow } from "./present-row.js";
import { interleave, type ImageItem, type TimelineItem } from "./timeline-item.js";
import { TimelineRow } from "./timeline-row.js";

export function Timeline({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const imageIds = useImages((state) => timelineOf(state, application.id));
  const byId = useImages((state) => state.byId);
  const chosenId = useImages((state) => state.selectedIds[application.id]);
  const occurrences = useOccurrences((state) => occurrencesOf(state, application.id));
  const rowHeight = Math.round(useRootFontSize() * ROW_HEIGHT_REM);
  const { life, hibernatedImageId } = application;
  const standsAt = life === null ? hibernatedImageId : life.currentImageId;
  const restoredFrom = life?.restoredFromImageId ?? null;
  const wakesFrom = life === null ? hibernatedImageId : null;

  const { items, imageCount, storedBytes, laneCount, liveLine } = useMemo(() => {
    const images = imageIds.map((id) => byId[id]).filter((image) => image !== undefined);
    const graph = layOutLineage(images, standsAt);
    const scaleBytes = Math.max(1, ...images.map((image) => totalOf(image.sizes)));
    const listed = images.map((image, index): ImageItem | null => {
      const row = graph.rows[index];
      if (row === undefined) return null;
      const badge =
        image.id === restoredFrom
          ? "Running from this"
          : image.id === wakesFrom
            ? "Wakes from this"
            : null;
      return {
        kind: "image",
        id: image.id,
        image,
        row,
        laneCount: graph.laneCount,
        scaleBytes,
        badge,
      };
    });
    const imageItems = listed.filter((item) => item !== null);
    return {
      ...graph,
      items: interleave(imageItems, occurrences, graph),
      imageCount: imageItems.length,
      storedBytes: imageItems.reduce((sum, item) => sum + item.image.fileBytes, 0),
    };
  }, [imageIds, byId, occurrences, standsAt, restoredFrom, wakesFrom]);

  const selectedId = chosenId ?? imageIds[0];
  return (
    <section
      className="timeline"
      aria-label="Timeline"
      data-pane="timeline"
      style={{ "--gutter": `${gutterWidthRem(laneCount)}rem` } as CSSProperties}
    >
      <header className="pane-header">
        <h2>Timeline</h2>
        <span className="quiet figures">
          {imageCount === 0
            ? "No images"
            : `${countOf(imageCount, "image")}, ${formatBytes(storedBytes)} stored`}
        </span>
        <ActionButton
          label="What happened"
          icon="contents"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "history", applicationId: application.id })}
        />
        <ActionButton
          label="Policy"
          icon="verify"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "policy", applicationId: application.id })}
        />
      </header>
      {items.length === 0 ? (
        <NoImages application={application} />
      ) : (
        <>
          <div className="timeline-columns timeline-grid" aria-hidden="true">
            <span />
            <span>Time</span>
            <span>Image</span>
            <span>
              <span className="when-narrow">Sizes</span>
              <span className="when-wide">State · Physical · Virtual</span>
            </span>
            <span className="align-end">File</span>
            <span className="align-end">Pause</span>
            <span>Status</span>
          </div>
          <PresentRow application={application} laneCount={laneCount} line={liveLine} />
          <div
            className="timeline-scroll"
            onKeyDown={(event) => {
              if (event.key !== "Delete" || selectedId === undefined) return;
              offer("delete-image", application, byId[selectedId]);
            }}
          >
            <Virtualizer layout={ListLayout} layoutOptions={{ rowSize: rowHeight }}>
              <ListBox
                className="timeline-list"
                aria-label={`Boot images of ${application.name}, newest first`}
                items={items}
                selectionMode="single"
                selectionBehavior="replace"
                disallowEmptySelection
                selectedKeys={selectedId === undefined ? [] : [selectedId]}
                onSelectionChange={(keys) => {
                  const [key] = keys === "all" ? [] : [...keys];
                  // What happened is read where it stands; only an image can be chosen.
                  if (typeof key === "string" && byId[key] !== undefined) {
                    selectImage(application.id, key);
                  }
                }}
                onAction={(key) => {
                  if (typeof key !== "string") return;
                  if (byId[key] === undefined) {
                    openDialog({ kind: "history", applicationId: application.id });
                  } else {
                    offer("restore", application, byId[key]);
                  }
                }}
              >
                {(item) => (
                  <ListBoxItem id={item.id} className="timeline-item" textValue={inWords(item)}>
                    {item.kind === "image" ? (
                      <TimelineRow item={item} pictured={application.surface.kind !== "none"} />
                    ) : (
                      <OccurrenceRow item={item} />
                    )}
                  </ListBoxItem>
                )}
              </ListBox>
            </Virtualizer>
          </div>
        </>
      )}
    </section>
  );
}

/** Opens the question, where the image and its application can take the answer. */
function offer(
  kind: "restore" | "delete-image",
  application: ApplicationRecord,
  image: ImageRecord | undefined,
): void {
  const possible =
    image !== undefined &&
    application.operationId === null &&
    isConnected(connectionStore.getState()) &&
    (kind === "delete-image" || image.state === "ok");
  if (possible) openDialog({ kind, imageId: image.id });
}

/** What typing the first letters finds. */
function inWords(item: TimelineItem): string {
  if (item.kind === "occurrence") {
    const { kind, happened, at } = item.occurrence;
    return `${OCCURRENCE_WORDS[kind]}: ${happened}, ${fullMoment(at)}`;
  }
  const { image, badge } = item;
  return [image.label, TRIGGER_WORDS[image.trigger], fullMoment(image.createdAt), badge]
    .filter((part) => part !== null)
    .join(", ");
}

function NoImages({ application }: { readonly application: ApplicationRecord }): ReactElement {
  const connected = useConnection(isConnected);
  const running = application.state === "running";
  return (
    <EmptyState
      icon="capture"
      title="No boot images yet"
      actions={
        running ? (
          <ActionButton
            label="Capture the first one"
            icon="capture"
            tone="primary"
            isDisabled={!connected || application.operationId !== null}
            onPress={() => void captureApplication(application.id)}
          />
        ) : undefined
      }
    >
      <p>
        A boot image holds all of {application.name} at one moment. It can be put back to that
        moment at any time, also after a restart of this machine.
      </p>
      {running ? null : <p>It is not running now. Start it to capture it.</p>}
    </EmptyState>
  );
}
