// Tells whether a result is newer than what it was made from, by content: a hash of the inputs, kept beside the result.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { checkout } from "./paths.mjs";

/**
 * One hash over files and folders (recursively, tests left out), names included.
 * @param {string[]} inputs relative to the checkout
 */
export function hashOf(inputs) {
  const hash = createHash("sha256");
  for (const input of inputs) addTo(hash, input);
  return hash.digest("hex");
}

/**
 * @param {import("node:crypto").Hash} hash
 * @param {string} path
 */
function addTo(hash, path) {
  const found = statSync(join(checkout, path), { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isDirectory()) {
    for (const name of readdirSync(join(checkout, path)).sort()) addTo(hash, join(path, name));
  } else if (found.isFile() && !/\.test\.tsx?$/.test(path)) {
    hash.update(`${path}\0${found.size}\0`).update(readFileSync(join(checkout, path)));
  }
}

/**
 * @param {string} stampFile absolute
 * @returns {string | undefined}
 */
export function readStamp(stampFile) {
  try {
    return readFileSync(stampFile, "utf8").trim();
  } catch {
    return undefined;
  }
}

/**
 * @param {string} stampFile absolute
 * @param {string} value
 */
export async function writeStamp(stampFile, value) {
  await mkdir(dirname(stampFile), { recursive: true });
  await writeFile(stampFile, `${value}\n`);
}
