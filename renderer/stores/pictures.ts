// Pictures of images, as data: URLs, asked for when one is looked at. The newest few stay at hand: each may
// have some megabytes.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { ImagePicture } from "../../electron/contract/helper-output.js";

export interface ShownPicture {
  readonly url: string;
  readonly width: number;
  readonly height: number;
}

/** "none": the image has no picture; "unread": it could not be read, which the image's own state tells. */
export type PictureState = ShownPicture | "none" | "unread";

export interface PicturesState {
  /** By image, the one that came last at the end. */
  readonly byImage: ReadonlyMap<string, PictureState>;
}

const MOST_PICTURES = 24;

export const picturesStore = createStore<PicturesState>()(() => ({ byImage: new Map() }));

export function usePicture(imageId: string): PictureState | undefined {
  return useStore(picturesStore, ({ byImage }) => byImage.get(imageId));
}

export function putPicture(imageId: string, picture: ImagePicture | null | "unread"): void {
  picturesStore.setState(({ byImage }) => {
    const next = new Map(byImage);
    next.delete(imageId);
    next.set(
      imageId,
      picture === "unread" ? picture : picture === null ? "none" : shownPicture(picture),
    );
    for (const oldest of next.keys()) {
      if (next.size <= MOST_PICTURES) break;
      next.delete(oldest);
    }
    return { byImage: next };
  });
}

export function shownPicture({ format, width, height, data }: ImagePicture): ShownPicture {
  const type = format === "png" ? "image/png" : "image/svg+xml";
  return { url: `data:${type};base64,${data}`, width, height };
}
