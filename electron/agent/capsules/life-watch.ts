/**
 * Notices when a running capsule ends: at once where inotify tells of its exit report, within a second
 * otherwise (an init that was killed reports nothing).
 */
import { watch, type FSWatcher } from "node:fs";
import type { Capsule } from "./capsule.js";

const POLL_MS = 1000;
/** After the exit report, init still ends what is left of the tree. */
const AFTER_REPORT_POLL_MS = 20;
const AFTER_REPORT_LIMIT_MS = 5000;

interface Watched {
  readonly capsule: Capsule;
  readonly ended: () => void;
  readonly watcher: FSWatcher | null;
  closing: NodeJS.Timeout | null;
}

export class LifeWatch {
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | null = null;

  /** Calls `ended` once, when the capsule has ended, unless it is forgotten before. */
  add(capsule: Capsule, ended: () => void): void {
    this.forget(capsule);
    const watched: Watched = { capsule, ended, watcher: this.#watchReport(capsule), closing: null };
    this.#watched.set(capsule.id, watched);
    this.#timer ??= setInterval(() => {
      for (const each of [...this.#watched.values()]) {
        this.#check(each);
      }
    }, POLL_MS);
    // It may have ended before anybody watched.
    setImmediate(() => {
      this.#check(watched);
    });
  }

  forget(capsule: Capsule): void {
    const watched = this.#watched.get(capsule.id);
    if (watched === undefined) {
      return;
    }
    watched.watcher?.close();
    clearInterval(watched.closing ?? undefined);
    this.#watched.delete(capsule.id);
    if (this.#watched.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  stop(): void {
    for (const { capsule } of [...this.#watched.values()]) {
      this.forget(capsule);
    }
  }

  #watchReport(capsule: Capsule): FSWatcher | null {
    try {
      const watcher = watch(capsule.folder, (_event, name) => {
        if (name === "exit.json") {
          this.#awaitEnd(capsule);
        }
      });
      watcher.on("error", () => {
        watcher.close();
      });
      return watcher;
    } catch {
      // No inotify left: the poll is slower, and does it.
      return null;
    }
  }

  #awaitEnd(capsule: Capsule): void {
    const watched = this.#watched.get(capsule.id);
    if (watched?.closing !== null) {
      return;
    }
    const deadline = performance.now() + AFTER_REPORT_LIMIT_MS;
    watched.closing = setInterval(() => {
      if (performance.now() > deadline) {
        // Its application has ended; whatever holds init up would hold it up for ever.
        capsule.signal("SIGKILL");
      }
      this.#check(watched);
    }, AFTER_REPORT_POLL_MS);
  }

  #check(watched: Watched): void {
    if (this.#watched.get(watched.capsule.id) === watched && !watched.capsule.alive) {
      this.forget(watched.capsule);
      watched.ended();
    }
  }
}
