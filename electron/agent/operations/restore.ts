/**
 * Bringing an application back from an image: wake and restore.
 *
 * The new tree is built in a capsule of its own beside the one that runs. Only when it stands does it
 * become the application and the old one end. A restore that fails in between leaves the running one as
 * it was.
 */
import { statSync } from "node:fs";
import {
  fail,
  type FailureError,
  type HelperResult,
  type ImageId,
  type ImageRecord,
  type ImageState,
  type Occurrence,
  type OperationRecord,
  type OperationResult,
} from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";
import { type Capsule, capsuleIdOf } from "../capsules/capsule.js";
import { restoreArguments } from "../helper/helper-arguments.js";
import { basesOf, chainFault } from "../catalog/image-chains.js";
import type { CaptureOperations } from "./capture.js";
import { explainOnce } from "./capture.js";
import { explain } from "./explain.js";
import {
  KILL_TIMEOUT_MS,
  requireCapsule,
  requireNotRunning,
  type LifeOperations,
} from "./life-operations.js";
import type { Job } from "./operations.js";
import type { Services } from "./services.js";

export class RestoreOperations {
  readonly #services: Services;
  readonly #lives: LifeOperations;
  readonly #captures: CaptureOperations;

  constructor(services: Services, lives: LifeOperations, captures: CaptureOperations) {
    this.#services = services;
    this.#lives = lives;
    this.#captures = captures;
  }

  wake(
    application: Application,
    image: ImageRecord | null,
    occurrence: Occurrence,
  ): OperationRecord {
    this.#services.operations.requireIdle(application);
    requireNotRunning(application);
    const chosen = image ?? this.#hibernatedImage(application);
    return this.#begin("wake", application, chosen, false, occurrence);
  }

  restore(
    application: Application,
    image: ImageRecord | null,
    captureFirst: boolean,
    occurrence: Occurrence,
  ): OperationRecord {
    this.#services.operations.requireIdle(application);
    const chosen = image ?? this.#newestImage(application);
    return this.#begin(
      "restore",
      application,
      chosen,
      (captureFirst || application.config?.capture["before-restore"] === true) &&
        application.life !== null,
      occurrence,
    );
  }

  #hibernatedImage(application: Application): ImageRecord {
    const id = application.remembered.hibernatedImageId;
    const image = id === null ? null : this.#services.catalog.images.get(id);
    if (image !== null) {
      return image;
    }
    return fail("not-hibernated", {
      happened: `${application.title} is not hibernated.`,
      unchanged: "Nothing was changed.",
      remedy: "Start it, or restore one of its images.",
      applicationId: application.id,
    });
  }

  #newestImage(application: Application): ImageRecord {
    const image = this.#services.catalog.images
      .list(application.id)
      .find((each) => each.state === "ok");
    return (
      image ??
      fail("no-such-image", {
        happened: `${application.title} has no image that could be restored.`,
        unchanged: "It is as it was.",
        remedy: "Capture it first.",
        applicationId: application.id,
      })
    );
  }

  #begin(
    kind: "wake" | "restore",
    application: Application,
    image: ImageRecord,
    captureFirst: boolean,
    occurrence: Occurrence,
  ): OperationRecord {
    if (image.applicationId !== application.id) {
      fail("invalid-params", {
        happened: `Image ${image.id.slice(0, 8)} is of "${image.applicationId}", not of ${application.title}.`,
        unchanged: "Nothing was changed.",
        applicationId: application.id,
        imageId: image.id,
      });
    }
    this.#requireFile(application, image);
    const { catalog, imageLocks } = this.#services;
    const release = imageLocks.acquireAll(
      [image, ...basesOf(catalog.images, image)].map(({ id }) => id),
      "read",
      `${application.title} is being restored from it`,
    );
    try {
      return this.#services.operations.start({
        kind,
        application,
        imageId: image.id,
        activity: "restoring",
        cancellable: true,
        work: async (job) => {
          try {
            return await this.#run(application, image, captureFirst, occurrence, job);
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

  #requireFile(application: Application, image: ImageRecord): void {
    const stat = statSync(image.path, { throwIfNoEntry: false });
    if (stat?.isFile() === true) {
      return;
    }
    this.markImage(image, "missing", `${image.path} is not there`);
    fail("image-missing", {
      happened: `Image ${image.id.slice(0, 8)} can't be restored: its file ${image.path} is not there.`,
      unchanged: `${application.title} is as it was.`,
      remedy: "Bring the file back, or restore another image.",
      applicationId: application.id,
      imageId: image.id,
    });
  }

  async #run(
    application: Application,
    image: ImageRecord,
    captureFirst: boolean,
    occurrence: Occurrence,
    job: Job,
  ): Promise<OperationResult> {
    const startedAt = performance.now();
    let beforeImageId: ImageId | null = null;
    if (captureFirst) {
      job.progress("capture-before");
      const label = `before restoring ${image.id.slice(0, 8)}`;
      try {
        const before = await this.#captures.take(
          application,
          "before-restore",
          { label, compress: null },
          false,
          job,
        );
        beforeImageId = before.image.id;
        this.#services.applications.advance(application, beforeImageId);
      } catch (error) {
        throw explainOnce(error, {
          happened: `Capturing ${application.title} before the restore failed`,
          unchanged: "It runs on as before; nothing was restored.",
          about: { applicationId: application.id, imageId: image.id },
        });
      }
    }
    const before = application.life;
    const { capsule, life, result } = await this.#build(
      application,
      image,
      occurrence,
      before,
      beforeImageId,
      job,
    );
    await this.#switch(application, image, occurrence, before, capsule, life, job);
    const notes = result.notes ?? [];
    // What a capsule says of itself, it says of each life.
    const remarks = notes.filter((note) => capsule.file.notes?.includes(note) !== true);
    if (remarks.length > 0) {
      this.#services.notices.add(
        "warning",
        application.id,
        `${application.title} came back from image ${image.id.slice(0, 8)}, but: ${remarks.join("; ")}.`,
      );
    }
    return {
      imageId: image.id,
      ...(beforeImageId === null ? {} : { beforeImageId }),
      rootPid: capsule.file.rootPid,
      firstInstructionMs: result.firstInstructionMs,
      durationMs: performance.now() - startedAt,
      notes,
    };
  }

  /** The new tree, in a capsule of its own. What ran before stands still meanwhile, and goes on if this fails. */
  async #build(
    application: Application,
    image: ImageRecord,
    occurrence: Occurrence,
    before: RunningLife | null,
    beforeImageId: ImageId | null,
    job: Job,
  ): Promise<{ capsule: Capsule; life: number; result: HelperResult<"restore"> }> {
    const { applications, control, helper, capsulesFolder } = this.#services;
    const life = applications.allocateLife(application);
    const capsuleId = capsuleIdOf(application.id, life);
    job.plan({ capsuleId });
    job.progress("build");
    await control.open({
      application,
      number: life,
      capsuleId,
      restored: { imageId: image.id, occurrence, at: Date.now() },
    });
    // Both lives have the same files open: two writers at once would spoil them for the one that stays.
    before?.capsule.setFrozen(true);
    try {
      const result = await helper.call({
        command: "restore",
        args: restoreArguments(
          image.path,
          capsuleId,
          application.config?.restore["changed-files"] ?? "warn",
        ),
        signal: job.signal,
        onProgress: (progress) => {
          job.progress(progress.phase, progress.doneBytes ?? null, progress.totalBytes ?? null);
        },
      });
      const capsule = requireCapsule(capsulesFolder, capsuleId, application);
      try {
        job.forbidCancel();
      } catch (error) {
        await this.#endCapsule(capsule);
        throw error;
      }
      return { capsule, life, result };
    } catch (error) {
      before?.capsule.setFrozen(false);
      control.discard(capsuleId);
      const failure = explain(error, {
        happened: `Restoring ${application.title} from image ${image.id.slice(0, 8)} failed`,
        unchanged: this.#describeUnchanged(application, before, beforeImageId),
        about: { applicationId: application.id, imageId: image.id },
      });
      this.#noteImageFault(image, failure);
      throw failure;
    }
  }

  #describeUnchanged(
    application: Application,
    before: RunningLife | null,
    beforeImageId: ImageId | null,
  ): string {
    const images =
      beforeImageId === null
        ? "all of its images are untouched"
        : `all of its images are untouched, and image ${beforeImageId.slice(0, 8)}, taken before the restore, is kept`;
    if (before !== null) {
      return `It runs on as it was; ${images}.`;
    }
    return application.remembered.state === "hibernated"
      ? `It is still hibernated; ${images}.`
      : `It does not run, as before; ${images}.`;
  }

  #noteImageFault(image: ImageRecord, failure: FailureError): void {
    if (failure.code === "damaged" || failure.code === "foreign") {
      this.markImage(image, "damaged", failure.failure.detail?.happened ?? failure.message);
    } else if (failure.code === "parent-missing") {
      const fault = chainFault(this.#services.catalog.images, image);
      const told = failure.failure.detail?.happened ?? failure.message;
      this.markImage(image, "incomplete", fault ?? told);
    }
  }

  markImage(image: ImageRecord, state: Exclude<ImageState, "ok">, reason: string): void {
    const current = this.#services.catalog.images.get(image.id);
    if (current !== null) {
      const changed: ImageRecord = { ...current, state, stateReason: reason };
      this.#services.catalog.images.put(changed);
      this.#services.events.emit("image.changed", { image: changed });
    }
  }

  /** From here on the new tree is the application, whatever happens. */
  async #switch(
    application: Application,
    image: ImageRecord,
    occurrence: Occurrence,
    before: RunningLife | null,
    capsule: Capsule,
    life: number,
    job: Job,
  ): Promise<void> {
    const { applications, catalog, events, lifeWatch, terminals } = this.#services;
    job.progress("switch");
    if (before !== null) {
      lifeWatch.forget(before.capsule);
    }
    const restored: ImageRecord = {
      ...(catalog.images.get(image.id) ?? image),
      state: "ok",
      stateReason: null,
      restoredAt: new Date().toISOString(),
    };
    catalog.transaction(() => {
      catalog.images.put(restored);
      applications.enterLife(application, life, capsule, { imageId: image.id, occurrence });
    });
    this.#lives.watch(application, capsule);
    await terminals.move(application.id, capsule);
    if (before !== null) {
      await this.#endCapsule(before.capsule);
    }
    events.emit("image.changed", { image: restored });
  }

  async #endCapsule(capsule: Capsule): Promise<void> {
    capsule.signal("SIGKILL");
    this.#services.control.close(capsule.id);
    if (await capsule.waitForEnd(KILL_TIMEOUT_MS)) {
      capsule.remove();
    }
  }
}
