/** Writes the picture of an image into a file of the caller's, readable by nobody else. */
import { randomBytes } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import type { AgentClient } from "../contract/client.js";
import { fail } from "../contract/index.js";
import type { Output } from "./output.js";
import { shortId, size } from "./quantities.js";

/** A file that is there is replaced once the new one is whole. The exit status. */
export async function writePicture(
  client: AgentClient,
  reference: string,
  file: string,
  output: Output,
): Promise<number> {
  const { image } = await client.call("images.get", { image: reference });
  const { picture } = await client.call("images.picture", { image: image.id });
  if (picture === null) {
    return fail("no-picture", {
      happened: `Image ${shortId(image.id)} has no picture.`,
      remedy:
        "Images of applications with a display or a terminal have one, made by this version or a later one.",
      imageId: image.id,
      applicationId: image.applicationId,
    });
  }
  const { data, format, width, height } = picture;
  const bytes = Buffer.from(data, "base64");
  const unfinished = `${file}.${randomBytes(4).toString("hex")}-new`;
  try {
    await writeFile(unfinished, bytes, { flag: "wx", mode: 0o600 });
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    fail("resource", {
      happened: `The picture can't be written to ${file}: ${error instanceof Error ? error.message : String(error)}.`,
      remedy: "Name a file in a folder that is there and that you may write to.",
    });
  }
  output.data({ image, picture: { format, width, height, bytes: bytes.length }, file });
  output.line(
    `The picture of image ${shortId(image.id)} is ${file}: ${format.toUpperCase()}, ${width}x${height}, ${size(bytes.length)}.`,
  );
  return 0;
}
