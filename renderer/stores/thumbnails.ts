// Small pictures of images for the rows of the timeline. They are some kilobytes each, so that many stay at hand.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";

/** A data: URL; "none": the image has no picture, or it could not be read. */
export type Thumbnail = string;

export interface ThumbnailsState {
  /** By image, the one that came last at the end. */
  readonly byImage: ReadonlyMap<string, Thumbnail>;
}

const MOST_THUMBNAILS = 1000;

export const thumbnailsStore = createStore<ThumbnailsState>()(() => ({ byImage: new Map() }));

export function useThumbnail(imageId: string): Thumbnail | undefined {
  return useStore(thumbnailsStore, ({ byImage }) => byImage.get(imageId));
}

export function putThumbnail(imageId: string, thumbnail: Thumbnail): void {
  thumbnailsStore.setState(({ byImage }) => {
    const next = new Map(byImage).set(imageId, thumbnail);
    for (const oldest of next.keys()) {
      if (next.size <= MOST_THUMBNAILS) break;
      next.delete(oldest);
    }
    return { byImage: next };
  });
}
