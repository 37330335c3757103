/**
 * Keeps what apps.d says: reads all of its files, notices changes, and tells which applications are
 * new, changed or gone. One bad file is that application's problem alone.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, watch, type FSWatcher } from "node:fs";
import { basename, join } from "node:path";
import {
  applicationIdPattern,
  MAX_APPLICATION_FILE_BYTES,
  type ApplicationConfig,
  type ApplicationId,
  type ConfigProblem,
} from "../../contract/index.js";
import { fileProblem, readApplicationText } from "./application-file.js";

/** What one file says now. `config` is null when it can't be used; `problem` says why. */
export interface ConfiguredApplication {
  readonly id: ApplicationId;
  readonly file: string;
  readonly config: ApplicationConfig | null;
  readonly problem: ConfigProblem | null;
}

export interface ApplicationsFolderListener {
  changed(application: ConfiguredApplication): void;
  removed(id: ApplicationId): void;
  /** A file that can't be an application at all, such as one with a dot in its id. */
  ignored(file: string, reason: string): void;
}

interface KnownFile {
  /** What the file looked like when it was last read; equal means unchanged. */
  readonly stamp: string;
  readonly application: ConfiguredApplication;
}

const SUFFIX = ".toml";
/** Editors write a file in several steps; one reading after the last of them is enough. */
const SETTLE_MS = 100;
/** inotify loses a folder that is replaced, and doesn't exist on some file systems. */
const RECHECK_MS = 5000;

export class ApplicationsFolder {
  readonly #folder: string;
  readonly #listener: ApplicationsFolderListener;
  readonly #known = new Map<ApplicationId, KnownFile>();
  readonly #ignored = new Set<string>();
  #watcher: FSWatcher | null = null;
  #watchedInode: bigint | null = null;
  #settleTimer: NodeJS.Timeout | null = null;
  #recheckTimer: NodeJS.Timeout | null = null;

  constructor(folder: string, listener: ApplicationsFolderListener) {
    this.#folder = folder;
    this.#listener = listener;
  }

  /** Reads everything once, before it returns, and goes on watching. */
  start(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o755 });
    this.#watch();
    this.rescan();
    this.#recheckTimer = setInterval(() => {
      this.#watch();
      this.rescan();
    }, RECHECK_MS);
    this.#recheckTimer.unref();
  }

  stop(): void {
    this.#watcher?.close();
    this.#watcher = null;
    clearTimeout(this.#settleTimer ?? undefined);
    clearInterval(this.#recheckTimer ?? undefined);
  }

  rescan(): void {
    const present = new Set<ApplicationId>();
    for (const name of this.#fileNames()) {
      const id = basename(name, SUFFIX);
      const file = join(this.#folder, name);
      if (!applicationIdPattern.test(id)) {
        this.#ignoreOnce(file);
        continue;
      }
      present.add(id);
      this.#read(id, file);
    }
    for (const id of [...this.#known.keys()]) {
      if (!present.has(id)) {
        this.#known.delete(id);
        this.#listener.removed(id);
      }
    }
  }

  #fileNames(): string[] {
    try {
      return readdirSync(this.#folder)
        .filter((name) => name.endsWith(SUFFIX) && !name.startsWith("."))
        .sort();
    } catch {
      // The folder itself is gone: so are its applications; it is looked for again.
      return [];
    }
  }

  #read(id: ApplicationId, file: string): void {
    let stamp: string;
    let application: ConfiguredApplication;
    try {
      const stat = statSync(file, { bigint: true });
      stamp = `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      if (this.#known.get(id)?.stamp === stamp) {
        return;
      }
      application = { id, file, ...readConfiguration(file, stat.isFile(), stat.size) };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      stamp = `unreadable:${reason}`;
      if (this.#known.get(id)?.stamp === stamp) {
        return;
      }
      application = {
        id,
        file,
        config: null,
        problem: fileProblem(file, `can't be read: ${reason}`),
      };
    }
    this.#known.set(id, { stamp, application });
    this.#listener.changed(application);
  }

  #ignoreOnce(file: string): void {
    if (!this.#ignored.has(file)) {
      this.#ignored.add(file);
      this.#listener.ignored(
        file,
        'its name is not an application id: use letters, digits, "-" and "_" before ".toml"',
      );
    }
  }

  #watch(): void {
    let inode: bigint | null = null;
    try {
      inode = statSync(this.#folder, { bigint: true }).ino;
    } catch {
      // Gone; the recheck finds it when it is back.
    }
    if (inode === this.#watchedInode && (inode === null || this.#watcher !== null)) {
      return;
    }
    this.#watcher?.close();
    this.#watcher = null;
    this.#watchedInode = inode;
    if (inode === null) {
      return;
    }
    try {
      this.#watcher = watch(this.#folder, () => {
        this.#settleTimer ??= setTimeout(() => {
          this.#settleTimer = null;
          this.rescan();
        }, SETTLE_MS);
      });
      this.#watcher.on("error", () => {
        this.#watcher?.close();
        this.#watcher = null;
      });
    } catch {
      // No inotify left or none here: the recheck does it, more slowly.
      this.#watcher = null;
    }
  }
}

function readConfiguration(
  file: string,
  isFile: boolean,
  size: bigint,
): Pick<ConfiguredApplication, "config" | "problem"> {
  if (!isFile) {
    return { config: null, problem: fileProblem(file, "is not a regular file") };
  }
  if (size > BigInt(MAX_APPLICATION_FILE_BYTES)) {
    return {
      config: null,
      problem: fileProblem(file, `is larger than ${MAX_APPLICATION_FILE_BYTES} bytes`),
    };
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof TypeError) {
      return { config: null, problem: fileProblem(file, "is not UTF-8 text") };
    }
    throw error;
  }
  const result = readApplicationText(file, text);
  return result.ok
    ? { config: result.config, problem: null }
    : { config: null, problem: result.problem };
}
