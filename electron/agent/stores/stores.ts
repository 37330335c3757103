/**
 * The folders that hold images, in the order in which they are filled. Says of each whether it can be
 * used and picks the first with room.
 */
import { accessSync, constants, mkdirSync, statfsSync, statSync } from "node:fs";
import { fail, type StoreRecord } from "../../contract/index.js";

/** Room that an image needs beside its pages, and that a file system should keep. */
const RESERVE_BYTES = 16 * 1024 * 1024;

export class Stores {
  readonly paths: readonly string[];

  constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  /** Makes the default store's folder at the first start; others are for the admin to make. */
  static prepareDefault(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  list(): StoreRecord[] {
    return this.paths.map(describeStore);
  }

  /**
   * The stores that have room for `bytes`, in order.
   * @throws FailureError with code `store-unusable` or `no-room` when there is none.
   */
  withRoom(bytes: number, happened: string, unchanged: string): string[] {
    const stores = this.list();
    const usable = stores.filter((store) => store.usable);
    const roomy = usable.filter((store) => (store.freeBytes ?? 0) >= bytes + RESERVE_BYTES);
    if (roomy.length > 0) {
      return roomy.map((store) => store.path);
    }
    if (usable.length === 0) {
      const reasons = stores.map((store) => store.problem).join(" ");
      return fail("store-unusable", {
        happened: `${happened}: no store can be used. ${reasons}`,
        unchanged,
      });
    }
    const free = usable
      .map((store) => `${store.path} has ${mebibytes(store.freeBytes ?? 0)} free`)
      .join(", ");
    return fail("no-room", {
      happened: `${happened}: about ${mebibytes(bytes + RESERVE_BYTES)} are needed, and ${free}.`,
      unchanged,
      remedy: "Delete or move images, or add a store on a larger volume to agent.toml.",
    });
  }
}

export function describeStore(path: string): StoreRecord {
  const unusable = (problem: string): StoreRecord => ({
    path,
    usable: false,
    problem,
    freeBytes: null,
    totalBytes: null,
  });
  try {
    if (!statSync(path).isDirectory()) {
      return unusable(
        `The store ${path} is a file, not a folder: move the file away and create the folder.`,
      );
    }
  } catch (error) {
    return unusable(`The store ${path} ${statProblem(error)}.`);
  }
  try {
    // Root passes every permission bit, but not a read-only file system.
    accessSync(path, constants.W_OK | constants.X_OK);
    const space = statfsSync(path);
    return {
      path,
      usable: true,
      problem: null,
      freeBytes: space.bavail * space.bsize,
      totalBytes: space.blocks * space.bsize,
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return unusable(
      code === "EROFS"
        ? `The store ${path} is on a read-only file system: mount it writable.`
        : `The store ${path} can't be written to: ${(error as Error).message}.`,
    );
  }
}

function statProblem(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "is gone: create the folder, or mount its volume";
    case "ENOTDIR":
      return "lies below something that is not a folder: correct its path";
    default:
      return `can't be reached: ${(error as Error).message}`;
  }
}

export function mebibytes(bytes: number): string {
  return `${(bytes / (1024 * 1024)).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`;
}
