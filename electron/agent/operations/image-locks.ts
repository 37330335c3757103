/** Who uses an image file right now: any number of readers, or one that moves or deletes it. */
import { fail, type ImageId } from "../../contract/index.js";

interface Lock {
  readers: number;
  writer: boolean;
  purpose: string;
}

export class ImageLocks {
  readonly #locks = new Map<ImageId, Lock>();

  /** @throws FailureError with code `in-use`. Returns what gives the image free again. */
  acquire(id: ImageId, kind: "read" | "write", purpose: string): () => void {
    const lock = this.#locks.get(id) ?? { readers: 0, writer: false, purpose };
    if (lock.writer || (kind === "write" && lock.readers > 0)) {
      fail("in-use", {
        happened: `Image ${id.slice(0, 8)} is in use: ${lock.purpose}.`,
        unchanged: "Nothing was changed.",
        remedy: "Wait until that has ended, or cancel it.",
        imageId: id,
      });
    }
    lock.purpose = purpose;
    if (kind === "write") {
      lock.writer = true;
    } else {
      lock.readers += 1;
    }
    this.#locks.set(id, lock);
    let held = true;
    return () => {
      if (!held) {
        return;
      }
      held = false;
      if (kind === "write") {
        lock.writer = false;
      } else {
        lock.readers -= 1;
      }
      if (!lock.writer && lock.readers === 0) {
        this.#locks.delete(id);
      }
    };
  }

  /** All of them or none. @throws FailureError with code `in-use`. */
  acquireAll(ids: readonly ImageId[], kind: "read" | "write", purpose: string): () => void {
    const held: (() => void)[] = [];
    const release = (): void => {
      for (const each of held) {
        each();
      }
    };
    try {
      for (const id of ids) {
        held.push(this.acquire(id, kind, purpose));
      }
    } catch (error) {
      release();
      throw error;
    }
    return release;
  }

  /** All that are read or written right now. */
  used(): ReadonlySet<ImageId> {
    return new Set(this.#locks.keys());
  }

  isUsed(id: ImageId): boolean {
    return this.#locks.has(id);
  }
}
