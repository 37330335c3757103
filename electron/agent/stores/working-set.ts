/**
 * What the helper keeps beside an image about its last wake (docs/image-format.md, "Working set"): a hint that
 * goes with the image.
 */
import { rename, rm } from "node:fs/promises";

const SUFFIX = ".ws";

/** Never fails: without it the next wake is a little slower. */
export async function removeWorkingSet(imagePath: string): Promise<void> {
  await rm(imagePath + SUFFIX, { force: true }).catch(() => undefined);
}

/** Takes it along to where the image is now. On another file system it is left out. */
export async function moveWorkingSet(from: string, to: string): Promise<void> {
  await rename(from + SUFFIX, to + SUFFIX).catch(() => removeWorkingSet(from));
}
