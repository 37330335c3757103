// Small pictures of images for the rows of the timeline. They are some kilobytes each, so that many stay at hand.
import { createByImage, useByImage } from "./by-image.js";

/** A data: URL; "none": the image has no picture, or it could not be read. */
export type Thumbnail = string;

const MOST_THUMBNAILS = 1000;

const thumbnails = createByImage<Thumbnail>(MOST_THUMBNAILS);

export function useThumbnail(imageId: string): Thumbnail | undefined {
  return useByImage(thumbnails, imageId);
}

export const putThumbnail = thumbnails.put;
