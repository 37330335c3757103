import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder and those that it lies in, where they aren't there. Node's own `recursive` never ends on a file
 * system that answers ENOENT for every new folder (/proc).
 * @throws the error of mkdir(2): no right to, a file in its place, no such file system.
 */
export function makeFolder(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
    return;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "EEXIST" && statSync(path).isDirectory()) {
      return;
    }
    if (code !== "ENOENT" || dirname(path) === path) {
      throw error;
    }
  }
  makeFolder(dirname(path), mode);
  mkdirSync(path, { mode });
}
