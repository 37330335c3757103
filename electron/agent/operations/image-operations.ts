/** What is done to images themselves: verify, move, delete, label. */
import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import {
  fail,
  type FailureError,
  type ImageRecord,
  type ImageReference,
  type OperationRecord,
} from "../../contract/index.js";
import { showArguments, verifyArguments } from "../helper/helper-arguments.js";
import type { HelperResult, ImageSection } from "../../contract/index.js";
import { moveFile, syncFolder } from "../stores/move-file.js";
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
    return this.#start("verify", image, "read", "it is being verified", async (job) => {
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
    } else if (failure.code === "damaged" || failure.code === "foreign") {
      this.#change(image, {
        state: "damaged",
        stateReason: failure.failure.detail?.happened ?? failure.message,
      });
    }
  }

  move(image: ImageRecord, folder: string): OperationRecord {
    // An image and what it builds on are found in one folder.
    const children = this.#services.catalog.images.childrenOf(image.id);
    if (children.length > 0 || image.parentId !== null) {
      const short = (id: string): string => id.slice(0, 8);
      fail("in-use", {
        happened:
          image.parentId === null
            ? `Image ${short(image.id)} can't be moved: ${children.map(({ id }) => short(id)).join(", ")} ${children.length === 1 ? "builds" : "build"} on it.`
            : `Image ${short(image.id)} can't be moved: it builds on image ${short(image.parentId)}, which has to be in the same folder.`,
        unchanged: "It is where it was.",
        remedy: "Capture again for an image that stands alone, and move that one.",
        imageId: image.id,
        applicationId: image.applicationId,
      });
    }
    const target = resolve(folder);
    const store = describeStore(target);
    if (!store.usable) {
      fail("store-unusable", {
        happened: `Image ${image.id.slice(0, 8)} can't be moved: ${store.problem ?? target}`,
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
    return this.#start("move", image, "write", "it is being moved", async (job) => {
      const startedAt = performance.now();
      try {
        job.progress("copy", 0, image.fileBytes);
        const path = await moveFile(image.path, target, {
          signal: job.signal,
          onProgress: (done, total) => {
            job.progress("copy", done, total);
          },
          commit: (moved) => {
            job.forbidCancel();
            job.progress("commit");
            this.#change(image, {
              path: moved,
              state: image.state === "missing" ? "ok" : image.state,
            });
          },
        });
        return {
          imageId: image.id,
          path,
          bytes: image.fileBytes,
          durationMs: performance.now() - startedAt,
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

  async delete(image: ImageRecord): Promise<ImageRecord> {
    const { catalog, imageLocks, applications, events } = this.#services;
    const children = catalog.images.childrenOf(image.id);
    if (children.length > 0) {
      fail("in-use", {
        happened: `Image ${image.id.slice(0, 8)} can't be deleted: ${children.map((child) => child.id.slice(0, 8)).join(", ")} ${children.length === 1 ? "builds" : "build"} on it.`,
        unchanged: "Nothing was changed.",
        remedy: "Delete those first.",
        imageId: image.id,
        applicationId: image.applicationId,
      });
    }
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
    catalog.notices.audit({
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
    kind: "verify" | "move",
    image: ImageRecord,
    lock: "read" | "write",
    purpose: string,
    work: (job: Job) => ReturnType<Parameters<Services["operations"]["start"]>[0]["work"]>,
  ): OperationRecord {
    const { imageLocks, operations, applications } = this.#services;
    const release = imageLocks.acquire(image.id, lock, purpose);
    try {
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
