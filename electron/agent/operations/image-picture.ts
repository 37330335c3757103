/**
 * The picture of what an application showed when an image was made: the helper writes it into a file of
 * the agent's own, which is read and removed. One at a time: a panel that shows a long timeline asks for many.
 */
import { rmSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  FailureError,
  MAX_PICTURE_BYTES,
  type ImagePicture,
  type ImageRecord,
} from "../../contract/index.js";
import { pictureArguments } from "../helper/helper-arguments.js";
import { explain } from "./explain.js";
import type { Services } from "./services.js";

const TIMEOUT_MS = 30_000;

export class ImagePictures {
  readonly #services: Services;
  readonly #folder: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(services: Services, runFolder: string) {
    this.#services = services;
    this.#folder = join(runFolder, "pictures");
    // What an agent that was killed has left.
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** null where the image has none. @throws FailureError where it can't be read. */
  read(image: ImageRecord): Promise<ImagePicture | null> {
    const read = this.#last.then(() => this.#read(image));
    this.#last = read.catch(() => undefined);
    return read;
  }

  async #read(image: ImageRecord): Promise<ImagePicture | null> {
    const { helper, imageLocks } = this.#services;
    const release = imageLocks.acquire(image.id, "read", "its picture is being read");
    const file = join(this.#folder, image.id);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const shown = await helper.call({
        command: "show",
        args: pictureArguments(image.path, file),
        timeoutMs: TIMEOUT_MS,
      });
      const picture = shown.pictureFile?.picture;
      return picture === undefined ? null : { ...picture, data: await contentsOf(file) };
    } catch (error) {
      if (error instanceof FailureError && error.code === "no-picture") {
        return null;
      }
      throw explain(error, {
        happened: `Reading the picture of image ${image.id.slice(0, 8)} failed`,
        unchanged: "The image was only read.",
        about: { imageId: image.id, applicationId: image.applicationId },
      });
    } finally {
      release();
      await rm(file, { force: true });
    }
  }
}

async function contentsOf(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > MAX_PICTURE_BYTES) {
      throw new Error(`a picture of ${size} bytes is larger than ${MAX_PICTURE_BYTES}`);
    }
    return (await file.readFile()).toString("base64");
  } finally {
    await file.close();
  }
}
