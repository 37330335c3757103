/**
 * Moves image files to another folder, also on another file system, so that at every moment, power
 * failures included, at least one whole copy of each has its final name.
 */
import { constants } from "node:fs";
import { link, open, rm, stat, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { moveWorkingSet } from "./working-set.js";

const CHUNK_BYTES = 4 * 1024 * 1024;

export interface MoveOptions {
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
  /**
   * Called when all targets are durable and the sources still there: the moment to change the catalog. The
   * targets are in the order of the sources.
   */
  readonly commit: (targets: readonly string[]) => void;
}

/**
 * Moves files that belong together, all or none of them.
 * @returns the new paths. @throws with code EEXIST when a target is taken.
 */
export async function moveFiles(
  sources: readonly string[],
  folder: string,
  { commit, onProgress, signal }: MoveOptions,
): Promise<string[]> {
  const sizes = await Promise.all(sources.map(async (source) => (await stat(source)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const made: string[] = [];
  let doneBefore = 0;
  try {
    for (const [index, source] of sources.entries()) {
      const target = join(folder, basename(source));
      if (await sameFileSystem(source, folder)) {
        // A second name for the same file, instead of a rename: the source's stays until the catalog knows.
        await link(source, target);
      } else {
        await copyDurably(source, target, {
          signal,
          onProgress: (done) => onProgress?.(doneBefore + done, total),
        });
      }
      made.push(target);
      doneBefore += sizes[index] ?? 0;
    }
    await syncFolder(folder);
    commit(made);
  } catch (error) {
    for (const target of made) {
      await rm(target, { force: true });
    }
    throw error;
  }
  for (const [index, source] of sources.entries()) {
    await unlink(source);
    await moveWorkingSet(source, made[index] ?? source);
  }
  for (const from of new Set(sources.map(dirname))) {
    await syncFolder(from);
  }
  return made;
}

interface CopyOptions {
  readonly onProgress: (doneBytes: number) => void;
  readonly signal: AbortSignal | undefined;
}

async function sameFileSystem(source: string, folder: string): Promise<boolean> {
  const [file, target] = await Promise.all([stat(source), stat(folder)]);
  return file.dev === target.dev;
}

async function copyDurably(source: string, target: string, options: CopyOptions): Promise<void> {
  const temporary = join(dirname(target), `.${basename(target)}.tmp`);
  const input = await open(source, constants.O_RDONLY);
  let output: FileHandle | null = null;
  try {
    output = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      0o600,
    );
    await copyAll(input, output, options);
    await output.sync();
    await output.close();
    output = null;
    // link refuses a name that is taken, which rename would silently replace.
    await link(temporary, target);
  } finally {
    await output?.close();
    await input.close();
    await rm(temporary, { force: true });
  }
}

async function copyAll(input: FileHandle, output: FileHandle, options: CopyOptions): Promise<void> {
  const { size } = await input.stat();
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let done = 0;
  while (done < size) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await input.read(buffer, 0, CHUNK_BYTES, done);
    if (bytesRead === 0) {
      throw new Error(`${size - done} bytes are missing at its end`);
    }
    let written = 0;
    while (written < bytesRead) {
      const result = await output.write(buffer, written, bytesRead - written, done + written);
      written += result.bytesWritten;
    }
    done += bytesRead;
    options.onProgress(done);
  }
}

/** Makes a new or changed name in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
