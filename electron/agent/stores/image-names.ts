/** The names of image files: whose, when, which. They sort by time and need no catalog to be read. */
import { basename, dirname, join } from "node:path";
import type { ApplicationId, ImageId } from "../../contract/index.js";

export const IMAGE_SUFFIX = ".torpor";

/** `ward-board-20260131T154501123` */
function stem(application: ApplicationId, at: Date): string {
  return `${application}-${at.toISOString().replaceAll(/[-:.Z]/g, "")}`;
}

/** The name to capture under: the image has no id before the helper has given it one. */
export function captureImagePath(folder: string, application: ApplicationId, at: Date): string {
  return join(folder, `${stem(application, at)}${IMAGE_SUFFIX}`);
}

export function finalImagePath(
  folder: string,
  application: ApplicationId,
  at: Date,
  id: ImageId,
): string {
  return join(folder, `${stem(application, at)}-${id.slice(0, 8)}${IMAGE_SUFFIX}`);
}

/** Where an image is written anew before it takes its own place. */
export function flattenedPath(imagePath: string): string {
  return join(dirname(imagePath), `.${basename(imagePath)}.whole.tmp`);
}

/** Temporary files of a capture, a move or a flattening: hidden, so that nobody takes them for an image. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(".") && name.endsWith(".tmp");
}
