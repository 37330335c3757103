// What the application showed when the image was made: asked for when the image is looked at.
import { useEffect, type ReactElement } from "react";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { loadPicture } from "../../commands.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { usePicture } from "../../stores/pictures.js";
import { fullMoment } from "../../words/moments.js";

export function ImagePicture({ image }: { readonly image: ImageRecord }): ReactElement | null {
  const picture = usePicture(image.id);
  const connected = useConnection(isConnected);
  const wanted = picture === undefined && connected && image.state === "ok";
  useEffect(() => {
    if (!wanted) return;
    // Whoever walks along the timeline looks at many images for a moment.
    const timer = window.setTimeout(() => void loadPicture(image.id), 120);
    return () => window.clearTimeout(timer);
  }, [image.id, wanted]);
  if (picture === undefined || picture === "none" || picture === "unread") return null;
  return (
    <img
      className="image-picture"
      src={picture.url}
      width={picture.width}
      height={picture.height}
      alt={`What it showed at ${fullMoment(image.createdAt)}`}
      draggable={false}
    />
  );
}
