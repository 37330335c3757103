/** What is done to images themselves: verify, move, flatten, delete, label. */
import { existsSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import {
  fail,
  type FailureError,
  type ImageRecord,
  type ImageReference,
  type OperationRecord,
} from "../../contract/index.js";
import { basesOf, chainFault, familyOf } from "../catalog/image-chains.js";
import { flattenArguments, showArguments, verifyArguments } from "../helper/helper-arguments.js";
import type { HelperResult, ImageSection } from "../../contract/index.js";
import { flattenedPath } from "../stores/image-names.js";
import { moveFiles, syncFolder } from "../stores/move-file.js";
import { removeWorkingSet } from "../stores/working-set.js";
import { describeStore } from "../stores/stores.js";
import { explain } from "./explain.js";
import type { Job } from "./operations.js";
import type { Services } from "./services.js";

const SHOW_TIMEOUT_MS = 60_000;

export class ImageOperations {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  /** @throws FailureError when no image begins so, or several do. */
  resolve(reference: ImageReference): ImageRecord {
    const [first, second] = this.#services.catalog.images.findByPrefix(reference);
    if (first === undefined) {
      return fail("no-such-image", {
        happened: `There is no image whose id begins with ${reference}.`,
        remedy: 'List an application\'s images with "torpor images APP".',
      });
    }
    if (second !== undefined && first.id !== reference) {
      return fail("ambiguous-image", {
        happened: `Several images begin with ${reference}, such as ${first.id} and ${second.id}.`,
        remedy: "Give more digits of the id.",
      });
    }
    return first;
  }

  verify(image: ImageRecord): OperationRecord {
    const bases = basesOf(this.#services.catalog.images, image);
    const locks = { read: [image, ...bases], write: [], purpose: "it is being verified" };
    return this.#start("verify", image, locks, async (job) => {
      job.progress("verify", 0, image.fileBytes);
      try {
        const result = await this.#services.helper.call({
          command: "verify",
          args: verifyArguments(image.path),
          signal: job.signal,
          onProgress: (progress) => {
            job.progress(progress.phase, progress.doneBytes ?? null, progress.totalBytes ?? null);
          },
        });
        this.#change(image, {
          state: "ok",
          stateReason: null,
          verifiedAt: new Date().toISOString(),
        });
        return { imageId: image.id, bytes: result.bytes, durationMs: result.durationMs, notes: [] };
      } catch (error) {
        const failure = explain(error, {
          happened: `Verifying image ${image.id.slice(0, 8)} failed`,
          unchanged: "Its file was only read.",
          about: { applicationId: image.applicationId, imageId: image.id },
        });
        this.#noteFault(image, failure);
        throw failure;
      }
    });
  }

  #noteFault(image: ImageRecord, failure: FailureError): void {
    if (statSync(image.path, { throwIfNoEntry: false }) === undefined) {
      this.#change(image, { state: "missing", stateReason: `${image.path} is not there` });
    } else if (failure.code === "parent-missing") {
      this.#change(image, {
        state: "incomplete",
        stateReason:
          chainFault(this.#services.catalog.images, image) ??
          failure.failure.detail?.happened ??
          failure.message,
      });
    } else if (failure.code === "damaged" || failure.code === "foreign") {
      this.#change(image, {
        state: "damaged",
        stateReason: failure.failure.detail?.happened ?? failure.message,
      });
    }
  }

  move(image: ImageRecord, folder: string): OperationRecord {
    const target = resolve(folder);
    const store = describeStore(target);
    if (!store.usable) {
      fail("store-unusable", {
        happened: `Image ${image.id.slice(0, 8)} can't be moved: ${existsSync(target) ? (store.problem ?? target) : `There is no folder ${target}.`}`,
        unchanged: "It is where it was.",
        imageId: image.id,
      });
    }
    if (target === dirname(image.path)) {
      fail("invalid-params", {
        happened: `Image ${image.id.slice(0, 8)} is in ${target} already.`,
        unchanged: "Nothing was changed.",
        imageId: image.id,
      });
    }
    // An image and what it builds on are found in one folder: they go together.
    const family = familyOf(this.#services.catalog.images, image).filter(
      ({ id, state }) => id === image.id || state !== "missing",
    );
    const locks = { read: [], write: family, purpose: "it is being moved" };
    return this.#start("move", image, locks, async (job) => {
      const startedAt = performance.now();
      const bytes = family.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
      try {
        job.progress("copy", 0, bytes);
        const paths = await moveFiles(
          family.map(({ path }) => path),
          target,
          {
            signal: job.signal,
            onProgress: (done, total) => {
              job.progress("copy", done, total);
            },
            commit: (moved) => {
              job.forbidCancel();
              job.progress("commit");
              this.#moved(family, moved);
            },
          },
        );
        return {
          imageId: image.id,
          path: paths[family.findIndex(({ id }) => id === image.id)],
          bytes,
          durationMs: performance.now() - startedAt,
          movedAlong: family.map(({ id }) => id).filter((id) => id !== image.id),
          notes: [],
        };
      } catch (error) {
        job.signal.throwIfAborted();
        throw explain(error, {
          happened: `Moving image ${image.id.slice(0, 8)} to ${target} failed`,
          unchanged: "It is where it was.",
          about: { applicationId: image.applicationId, imageId: image.id },
        });
      }
    });
  }

  /** All at once: at no time does one of them lie apart from what it builds on. */
  #moved(family: readonly ImageRecord[], paths: readonly string[]): void {
    const { catalog, events } = this.#services;
    const changed = family.map((each, index): ImageRecord => {
      const current = catalog.images.get(each.id) ?? each;
      return {
        ...current,
        path: paths[index] ?? current.path,
        ...(current.state === "missing" ? { state: "ok", stateReason: null } : {}),
      };
    });
    catalog.transaction(() => {
      for (const image of changed) {
        catalog.images.put(image);
      }
    });
    for (const image of changed) {
      events.emit("image.changed", { image });
    }
  }

  /**
   * Writes an incremental image anew as one that builds on no other. The new file has its id and takes its
   * place in one rename; until then the old one is as it was.
   */
  flatten(image: ImageRecord): OperationRecord {
    const { catalog, helper } = this.#services;
    if (image.parentId === null) {
      fail("invalid-params", {
        happened: `Image ${image.id.slice(0, 8)} builds on no other image: there is nothing to make whole.`,
        unchanged: "Nothing was changed.",
        imageId: image.id,
        applicationId: image.applicationId,
      });
    }
    this.#requireNoDependants(image, "flattened", "Flatten or delete those first.");
    const bases = basesOf(catalog.images, image);
    const locks = { read: bases, write: [image], purpose: "it is being made whole" };
    return this.#start("flatten", image, locks, async (job) => {
      const temporary = flattenedPath(image.path);
      try {
        await rm(temporary, { force: true });
        const result = await helper.call({
          command: "flatten",
          args: flattenArguments(image.path, temporary),
          signal: job.signal,
          onProgress: (progress) => {
            job.progress(progress.phase, progress.doneBytes ?? null, progress.totalBytes ?? null);
          },
        });
        job.forbidCancel();
        job.progress("commit");
        await rename(temporary, image.path);
        await syncFolder(dirname(image.path));
        // It names blocks of the file that was.
        await removeWorkingSet(image.path);
        this.#change(image, {
          parentId: null,
          fileBytes: result.fileBytes,
          state: "ok",
          stateReason: null,
        });
        return {
          imageId: image.id,
          path: image.path,
          bytes: result.fileBytes,
          durationMs: result.durationMs,
          notes: [],
        };
      } catch (error) {
        await rm(temporary, { force: true });
        job.signal.throwIfAborted();
        const failure = explain(error, {
          happened: `Making image ${image.id.slice(0, 8)} whole failed`,
          unchanged: "It is as it was, and so are the images that it builds on.",
          about: { applicationId: image.applicationId, imageId: image.id },
        });
        this.#noteFault(image, failure);
        throw failure;
      }
    });
  }

  #requireNoDependants(image: ImageRecord, done: string, remedy: string): void {
    const children = this.#services.catalog.images.childrenOf(image.id);
    if (children.length > 0) {
      const names = children.map(({ id }) => id.slice(0, 8)).join(", ");
      fail("in-use", {
        happened: `Image ${image.id.slice(0, 8)} can't be ${done}: ${names} ${children.length === 1 ? "builds" : "build"} on it.`,
        unchanged: "Nothing was changed.",
        remedy,
        imageId: image.id,
        applicationId: image.applicationId,
      });
    }
  }

  async delete(image: ImageRecord): Promise<ImageRecord> {
    const { catalog, imageLocks, applications, events } = this.#services;
    this.#requireNoDependants(
      image,
      "deleted",
      'Delete those first, or make them whole with "torpor image flatten".',
    );
    const release = imageLocks.acquire(image.id, "write", "it is being deleted");
    try {
      // From here on it goes, whoever ends this agent.
      catalog.removals.add({ imageId: image.id, path: image.path });
      await rm(image.path, { force: true });
      await removeWorkingSet(image.path);
      await syncFolder(dirname(image.path)).catch(() => undefined);
      catalog.transaction(() => {
        catalog.images.delete(image);
        catalog.removals.done(image.id);
      });
    } catch (error) {
      catalog.removals.done(image.id);
      throw explain(error, {
        happened: `Deleting image ${image.id.slice(0, 8)} failed`,
        unchanged: "It is as it was.",
        about: { imageId: image.id, applicationId: image.applicationId },
      });
    } finally {
      release();
    }
    catalog.audit.add({
      action: "delete",
      applicationId: image.applicationId,
      imageId: image.id,
      outcome: "succeeded",
    });
    events.emit("image.removed", { imageId: image.id, applicationId: image.applicationId });
    const application = applications.find(image.applicationId);
    if (application !== null) {
      if (application.remembered.hibernatedImageId === image.id) {
        applications.rest(
          application,
          "stopped",
          "the image that it was hibernated to was deleted",
        );
      }
      if (application.remembered.currentImageId === image.id) {
        application.remembered.currentImageId = image.lineageParentId;
        catalog.applications.put(application.remembered);
      }
      applications.changed(application);
      applications.forgetIfGone(application);
    }
    return image;
  }

  /** What an earlier agent had begun to delete. */
  async finishRemovals(): Promise<void> {
    const { catalog, log } = this.#services;
    for (const { imageId, path } of catalog.removals.list()) {
      await rm(path, { force: true });
      await removeWorkingSet(path);
      const image = catalog.images.get(imageId);
      catalog.transaction(() => {
        if (image !== null) {
          catalog.images.delete(image);
        }
        catalog.removals.done(imageId);
      });
      log.info({ image: imageId }, "finished a deletion that an earlier agent had begun");
    }
  }

  label(image: ImageRecord, label: string | null): ImageRecord {
    return this.#change(image, { label: label === "" ? null : label });
  }

  pin(image: ImageRecord, pinned: boolean): ImageRecord {
    return this.#change(image, { pinned });
  }

  remark(image: ImageRecord, remark: string | null): ImageRecord {
    return this.#change(image, { remark: remark === "" ? null : remark });
  }

  async show(image: ImageRecord, sections: readonly ImageSection[]): Promise<HelperResult<"show">> {
    const release = this.#services.imageLocks.acquire(image.id, "read", "it is being read");
    try {
      return await this.#services.helper.call({
        command: "show",
        args: showArguments(image.path, sections),
        timeoutMs: SHOW_TIMEOUT_MS,
      });
    } catch (error) {
      const failure = explain(error, {
        happened: `Reading image ${image.id.slice(0, 8)} failed`,
        unchanged: "Its file was only read.",
        about: { imageId: image.id, applicationId: image.applicationId },
      });
      this.#noteFault(image, failure);
      throw failure;
    } finally {
      release();
    }
  }

  #start(
    kind: "verify" | "move" | "flatten",
    image: ImageRecord,
    {
      read,
      write,
      purpose,
    }: {
      readonly read: readonly ImageRecord[];
      readonly write: readonly ImageRecord[];
      readonly purpose: string;
    },
    work: (job: Job) => ReturnType<Parameters<Services["operations"]["start"]>[0]["work"]>,
  ): OperationRecord {
    const { imageLocks, operations, applications } = this.#services;
    const ids = (images: readonly ImageRecord[]): string[] => images.map(({ id }) => id);
    const releaseRead = imageLocks.acquireAll(ids(read), "read", purpose);
    let release = releaseRead;
    try {
      const releaseWritten = imageLocks.acquireAll(ids(write), "write", purpose);
      release = () => {
        releaseRead();
        releaseWritten();
      };
      return operations.start({
        kind,
        application: applications.obtain(image.applicationId),
        imageId: image.id,
        activity: null,
        cancellable: true,
        work: async (job) => {
          try {
            return await work(job);
          } finally {
            release();
          }
        },
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  #change(image: ImageRecord, change: Partial<ImageRecord>): ImageRecord {
    const { catalog, events } = this.#services;
    const changed: ImageRecord = { ...(catalog.images.get(image.id) ?? image), ...change };
    catalog.images.put(changed);
    events.emit("image.changed", { image: changed });
    return changed;
  }
}
