// Pictures of images, as data: URLs, asked for when one is looked at. The newest few stay at hand: each may
// have some megabytes.
import type { ImagePicture } from "../../electron/contract/helper-output.js";
import { createByImage, useByImage } from "./by-image.js";

export interface ShownPicture {
  readonly url: string;
  readonly width: number;
  readonly height: number;
}

/** "none": the image has no picture; "unread": it could not be read, which the image's own state tells. */
export type PictureState = ShownPicture | "none" | "unread";

const MOST_PICTURES = 24;

const pictures = createByImage<PictureState>(MOST_PICTURES);

export const picturesStore = pictures.store;

export function usePicture(imageId: string): PictureState | undefined {
  return useByImage(pictures, imageId);
}

export function putPicture(imageId: string, picture: ImagePicture | null | "unread"): void {
  pictures.put(
    imageId,
    picture === "unread" ? picture : picture === null ? "none" : shownPicture(picture),
  );
}

export function shownPicture({ format, width, height, data }: ImagePicture): ShownPicture {
  const type = format === "png" ? "image/png" : "image/svg+xml";
  return { url: `data:${type};base64,${data}`, width, height };
}
