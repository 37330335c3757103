/**
 * Brings catalog and image files together: files that the catalog doesn't know are read and added,
 * records whose file is gone are marked. What the catalog lost can be had back this way.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { newImageMarks, type ImageRecord } from "../../contract/index.js";
import { readImageMeta, type ImageTickets } from "../operations/image-meta.js";
import type { Services } from "../operations/services.js";
import { showArguments } from "../helper/helper-arguments.js";
import { IMAGE_SUFFIX, isTemporaryName } from "../stores/image-names.js";

export interface ScanResult {
  added: number;
  missing: number;
  returned: number;
  unreadable: number;
}

/** An image file as the catalog takes it in. */
export interface FoundImage {
  readonly image: ImageRecord;
  readonly tickets: ImageTickets;
}

const SHOW_TIMEOUT_MS = 60_000;

export class StoreScan {
  readonly #services: Services;
  /** Files that are not readable as images, by path and time: not worth reading at every scan. */
  readonly #unreadable = new Map<string, number>();
  #running: Promise<ScanResult> | null = null;

  constructor(services: Services) {
    this.#services = services;
  }

  /** One scan at a time; whoever asks meanwhile gets the result of the one that runs. */
  run(): Promise<ScanResult> {
    this.#running ??= this.#scan().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #scan(): Promise<ScanResult> {
    const result: ScanResult = { added: 0, missing: 0, returned: 0, unreadable: 0 };
    await this.#checkKnown(result);
    for (const store of this.#services.stores.paths) {
      for (const path of await this.#imageFiles(store)) {
        if (this.#services.catalog.images.getByPath(path) === null) {
          await this.#add(path, result);
        }
      }
    }
    if (result.added + result.missing + result.returned > 0) {
      this.#services.log.info({ ...result }, "stores scanned");
    }
    return result;
  }

  async #checkKnown(result: ScanResult): Promise<void> {
    const { catalog, events } = this.#services;
    for (const image of catalog.images.list()) {
      const there = await isFile(image.path);
      if (there === (image.state !== "missing")) {
        continue;
      }
      const changed: ImageRecord = there
        ? { ...image, state: "ok", stateReason: null }
        : { ...image, state: "missing", stateReason: `${image.path} is not there` };
      result[there ? "returned" : "missing"] += 1;
      catalog.images.put(changed);
      events.emit("image.changed", { image: changed });
    }
  }

  async #imageFiles(store: string): Promise<string[]> {
    const names = await readdir(store).catch(() => []);
    return names
      .filter((name) => name.endsWith(IMAGE_SUFFIX) && !name.startsWith("."))
      .map((name) => join(store, name));
  }

  async #add(path: string, result: ScanResult): Promise<void> {
    const modified = (await stat(path).catch(() => null))?.mtimeMs ?? 0;
    if (this.#unreadable.get(path) === modified) {
      result.unreadable += 1;
      return;
    }
    const found = await this.read(path);
    if (found === null) {
      this.#unreadable.set(path, modified);
      result.unreadable += 1;
      return;
    }
    // An operation may have entered it while it was read.
    const { catalog } = this.#services;
    const known = catalog.images.get(found.image.id);
    if (known === null) {
      this.enter(found);
      result.added += 1;
    } else if (known.path !== path && !(await isFile(known.path))) {
      catalog.images.put({ ...known, path, state: "ok", stateReason: null });
      result.returned += 1;
    }
  }

  enter({ image, tickets }: FoundImage): void {
    const { catalog, events, applications } = this.#services;
    catalog.transaction(() => {
      catalog.images.put(image);
      catalog.tickets.put(image.applicationId, image.id, tickets);
    });
    const application = applications.obtain(image.applicationId);
    events.emit("image.added", { image });
    applications.changed(application);
  }

  /** What the file says of itself as a record; null when it is not an image of an application. */
  async read(path: string): Promise<FoundImage | null> {
    const { helper, log, notices } = this.#services;
    try {
      const shown = await helper.call({
        command: "show",
        args: showArguments(path, []),
        timeoutMs: SHOW_TIMEOUT_MS,
      });
      const meta = readImageMeta(shown.meta);
      if (meta === null) {
        log.info({ path }, "an image that belongs to no application was left alone");
        return null;
      }
      const image: ImageRecord = {
        id: shown.imageId,
        applicationId: meta.application,
        createdAt: new Date(shown.createdAt).toISOString(),
        trigger: meta.trigger,
        label: meta.label,
        state: "ok",
        stateReason: null,
        path,
        sizes: shown.sizes,
        fileBytes: shown.fileBytes,
        pauseMs: null,
        durationMs: null,
        processes: shown.processes,
        threads: shown.threads ?? null,
        compress: shown.compress ?? null,
        parentId: shown.parentId ?? null,
        lineageParentId: meta.lineageParentId,
        life: meta.life,
        verifiedAt: null,
        restoredAt: null,
        notes: [],
        ...newImageMarks(),
      };
      return { image, tickets: meta.tickets };
    } catch (error) {
      notices.add(
        "warning",
        null,
        `${path} is in a store and can't be read as an image: ${error instanceof Error ? error.message : String(error)}`,
      );
      return null;
    }
  }

  /**
   * Removes what captures and moves of earlier agents left unfinished: whatever was last written to
   * before this one was ready. Its own are younger.
   */
  async removeTemporaries(readyAt: number): Promise<void> {
    for (const store of this.#services.stores.paths) {
      for (const name of await readdir(store).catch(() => [])) {
        const path = join(store, name);
        const written = (await stat(path).catch(() => null))?.mtimeMs;
        if (isTemporaryName(name) && written !== undefined && written < readyAt) {
          this.#services.log.info({ path }, "removed what an unfinished capture or move left");
          await rm(path, { force: true }).catch(() => undefined);
        }
      }
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}
