// One boot image on the timeline: when, why, how large in its three parts, what it cost, whether it can
// be trusted.
import type { ReactElement } from "react";
import { Icon, type IconName } from "../../components/icon.js";
import { PartsBar, PARTS } from "../../components/image-parts.js";
import {
  IMAGE_STATUS_WORDS,
  TRIGGER_WORDS,
  shortId,
  statusOfImage,
  type ImageStatus,
} from "../../words/application-words.js";
import { formatBytes, formatMilliseconds } from "../../words/quantities.js";
import { ImageThumbnail } from "./image-thumbnail.js";
import { LineageGutter } from "./lineage-gutter.js";
import { Moment } from "./moment.js";
import type { ImageItem } from "./timeline-item.js";

const STATUS_ICONS: Readonly<Record<ImageStatus, IconName | null>> = {
  verified: "check",
  unverified: null,
  suspect: "warning",
  missing: "warning",
  damaged: "warning",
  incomplete: "warning",
};

export function TimelineRow({
  item,
  pictured,
}: {
  readonly item: ImageItem;
  /** Images of this application have a picture, as a rule. */
  readonly pictured: boolean;
}): ReactElement {
  const { image, row, laneCount, scaleBytes, badge } = item;
  const status = statusOfImage(image);
  const icon = STATUS_ICONS[status];
  const trigger = TRIGGER_WORDS[image.trigger];
  return (
    <div className="timeline-grid timeline-row">
      <LineageGutter row={row} laneCount={laneCount} hollow={image.state !== "ok"} />
      <Moment timestamp={image.createdAt} />
      <span className="timeline-image">
        {pictured ? <ImageThumbnail image={image} /> : null}
        <span className="two-lines">
          <span className="clipped">
            <span className="timeline-label">{image.label ?? trigger}</span>
          </span>
          <span className="timeline-second clipped">
            {badge === null ? null : <span className="badge badge-accent">{badge}</span>}
            <span className="quiet clipped">
              {image.label === null ? "" : `${trigger} · `}
              <span className="mono">{shortId(image.id)}</span>
            </span>
          </span>
        </span>
      </span>
      <span className="two-lines timeline-sizes">
        <PartsBar sizes={image.sizes} scaleBytes={scaleBytes} />
        <span className="quiet figures clipped timeline-size-figures">
          {PARTS.map(({ key }) => formatBytes(image.sizes[key])).join(" · ")}
        </span>
      </span>
      <span className="two-lines align-end figures">
        <span>{formatBytes(image.fileBytes)}</span>
        <span className="quiet">
          {[
            image.parentId === null ? null : `+ ${shortId(image.parentId)}`,
            image.compress === "none" ? null : image.compress,
          ]
            .filter((part) => part !== null)
            .join(" · ")}
        </span>
      </span>
      <span className="align-end figures">
        {image.pauseMs === null ? "–" : formatMilliseconds(image.pauseMs)}
      </span>
      <span className={`image-status image-status-${status}`}>
        {icon === null ? null : <Icon name={icon} />}
        {IMAGE_STATUS_WORDS[status]}
        {image.pinned ? (
          <span className="image-pin" role="img" aria-label="pinned">
            <Icon name="pin" />
          </span>
        ) : null}
      </span>
    </div>
  );
}
