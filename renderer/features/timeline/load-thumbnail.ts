// Makes the small pictures of the timeline's rows, one after the other: each is read out of its image by a helper
// of its own.
import type { ImagePicture } from "../../../electron/contract/helper-output.js";
import { toFailure } from "../../../electron/contract/failure.js";
import { request } from "../../bridge.js";
import { shownPicture } from "../../stores/pictures.js";
import { putThumbnail } from "../../stores/thumbnails.js";

/** Twice what a row shows, in pixels of the panel, for displays of high density. */
const WIDTH = 144;
const HEIGHT = 90;

const wanted = new Set<string>();
let queue: Promise<void> = Promise.resolve();

/** Asks for a row's picture; what comes back takes the wish back where its turn has not come yet. */
export function wantThumbnail(imageId: string): () => void {
  wanted.add(imageId);
  queue = queue.then(() => (wanted.delete(imageId) ? load(imageId) : undefined));
  return () => wanted.delete(imageId);
}

async function load(imageId: string): Promise<void> {
  try {
    const { picture } = await request("agent:images.picture", { image: imageId });
    putThumbnail(imageId, picture === null ? "none" : await shrink(picture));
  } catch (error) {
    // The image's own state tells what is wrong with it.
    if (toFailure(error).code !== "agent-unreachable") putThumbnail(imageId, "none");
  }
}

/** The upper left of it, as large as a row has room for. */
async function shrink(picture: ImagePicture): Promise<string> {
  const image = new Image();
  image.src = shownPicture(picture).url;
  await image.decode();
  const scale = Math.max(WIDTH / picture.width, HEIGHT / picture.height);
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext("2d");
  if (context === null) return "none";
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, picture.width * scale, picture.height * scale);
  return canvas.toDataURL("image/png");
}
