// What the application showed when the image was made, small, in its row. The details show it in full, and in words.
import { useEffect, type ReactElement } from "react";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { useThumbnail } from "../../stores/thumbnails.js";
import { wantThumbnail } from "./load-thumbnail.js";

/** Rows that are scrolled past are not worth a helper. */
const PASSING_MS = 150;

export function ImageThumbnail({ image }: { readonly image: ImageRecord }): ReactElement {
  const thumbnail = useThumbnail(image.id);
  const connected = useConnection(isConnected);
  const wanted = thumbnail === undefined && connected && image.state === "ok";
  useEffect(() => {
    if (!wanted) return;
    let takeBack: (() => void) | undefined;
    const timer = window.setTimeout(() => {
      takeBack = wantThumbnail(image.id);
    }, PASSING_MS);
    return () => {
      window.clearTimeout(timer);
      takeBack?.();
    };
  }, [image.id, wanted]);
  return (
    <span className="timeline-thumbnail" aria-hidden="true">
      {thumbnail === undefined || thumbnail === "none" ? null : (
        <img src={thumbnail} alt="" draggable={false} />
      )}
    </span>
  );
}
