/** Taking a boot image of a running application, with or without ending it. */
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  fail,
  newImageMarks,
  toFailure,
  type Compression,
  type FailureCode,
  type FailureError,
  type HelperResult,
  type ImageRecord,
  type OperationRecord,
  type OperationResult,
  type Ticket,
  type Trigger,
} from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";
import { measureTree } from "../capsules/measure.js";
import { basesOf } from "../catalog/image-chains.js";
import { captureArguments } from "../helper/helper-arguments.js";
import { captureImagePath, finalImagePath, isTemporaryName } from "../stores/image-names.js";
import { syncFolder } from "../stores/move-file.js";
import { explain } from "./explain.js";
import { imageMeta } from "./image-meta.js";
import { KILL_TIMEOUT_MS, type LifeOperations } from "./life-operations.js";
import type { Retention } from "../policy/retention.js";
import type { Job } from "./operations.js";
import type { Services } from "./services.js";

export interface CaptureOptions {
  /** Why it is taken; "operator", or "hibernate", where it isn't said. */
  readonly trigger?: Trigger;
  readonly label: string | null;
  readonly compress: Compression | null;
  readonly keep: boolean | null;
  readonly hibernate: boolean;
  /** Also while the application has asked for "not now". */
  readonly force?: boolean;
  /** The application's own request, where that is what asks. */
  readonly ticket?: Ticket;
}

/** What concerns the image itself. */
export type ImageWishes = Pick<CaptureOptions, "label" | "compress" | "ticket"> & {
  /** The image before it is going to be deleted: then it can't build on that. */
  readonly replaces?: boolean;
};

interface Taken {
  readonly image: ImageRecord;
  readonly result: HelperResult<"capture">;
}

export class CaptureOperations {
  readonly #services: Services;
  readonly #lives: LifeOperations;
  readonly #retention: Retention;

  constructor(services: Services, lives: LifeOperations, retention: Retention) {
    this.#services = services;
    this.#lives = lives;
    this.#retention = retention;
  }

  capture(application: Application, options: CaptureOptions): OperationRecord {
    this.#services.operations.requireIdle(application);
    const life = requireRunning(application);
    if (options.force !== true) {
      this.#requireAllowed(application, life);
    }
    return this.#services.operations.start({
      kind: options.hibernate ? "hibernate" : "capture",
      application,
      imageId: null,
      activity: options.hibernate ? "hibernating" : "capturing",
      cancellable: true,
      work: (job) =>
        options.hibernate
          ? this.#hibernate(application, options, job)
          : this.#capture(application, options, job),
    });
  }

  /** The application has said "not now": it may be in the middle of what must not be done twice. */
  #requireAllowed(application: Application, life: RunningLife): void {
    const [inhibition] = this.#services.signals.inhibitions(life.capsule.id);
    if (inhibition !== undefined) {
      fail("inhibited", {
        happened: `${application.title} asks not to be captured now: ${inhibition.reason}.`,
        unchanged: "It runs on, and no image was written.",
        remedy: `Wait until it allows it, which is at ${new Date(inhibition.endsAt).toISOString()} at the latest, or force it.`,
        applicationId: application.id,
      });
    }
  }

  async #capture(
    application: Application,
    options: CaptureOptions,
    job: Job,
  ): Promise<OperationResult> {
    const { image, result } = await this.take(
      application,
      options.trigger ?? "operator",
      { ...options, replaces: this.#retention.replaces(application, options.keep) },
      false,
      job,
    );
    this.#services.applications.advance(application, image.id);
    const replacedImageId = await this.#retention.afterCapture(application, image, options.keep);
    return describeResult(image, result, replacedImageId);
  }

  async #hibernate(
    application: Application,
    options: CaptureOptions,
    job: Job,
  ): Promise<OperationResult> {
    const { applications, lifeWatch, terminals } = this.#services;
    const life = requireRunning(application);
    // Its end is ours now, not a failure.
    lifeWatch.forget(life.capsule);
    let taken: Taken;
    try {
      taken = await this.take(
        application,
        options.trigger ?? "hibernate",
        { ...options, replaces: this.#retention.replaces(application, options.keep) },
        true,
        job,
      );
    } catch (error) {
      this.#lives.watch(application, life.capsule);
      throw error;
    }
    if (!(await life.capsule.waitForEnd(KILL_TIMEOUT_MS))) {
      // The image is durable and its processes are gone; only init is left to end.
      life.capsule.signal("SIGKILL");
      await life.capsule.waitForEnd(KILL_TIMEOUT_MS);
    }
    this.#services.control.close(life.capsule.id);
    life.capsule.remove();
    applications.endLife(application, {
      state: "hibernated",
      reason: null,
      exit: null,
      hibernatedImageId: taken.image.id,
      // What was hibernated for a shutdown is woken by the next agent, also where the machine stayed up.
      held: taken.image.trigger !== "shutdown",
    });
    terminals.closeAll(application.id, "hibernated", `${application.name} was hibernated.`, null);
    const replacedImageId = await this.#retention.afterCapture(
      application,
      taken.image,
      options.keep,
    );
    return describeResult(taken.image, taken.result, replacedImageId);
  }

  /**
   * Writes one image and enters it into the catalog.
   * @throws FailureError; the application then runs on as before, and no file is left.
   */
  async take(
    application: Application,
    trigger: Trigger,
    options: ImageWishes,
    stop: boolean,
    job: Job,
  ): Promise<Taken> {
    const { control, stores } = this.#services;
    const life = requireRunning(application);
    const explanation = {
      happened: `${stop ? "Hibernating" : "Capturing"} ${application.title} failed`,
      unchanged: "It runs on as before, no image was written, and its other images are untouched.",
      about: { applicationId: application.id },
    };
    try {
      await control.announceCapture(life.capsule.id, trigger, stop);
      const memory = await measureTree(life.capsule);
      this.#retention.requireRoom(application, memory.physicalBytes + memory.virtualBytes);
      const folders = stores.withRoom(
        memory.physicalBytes + memory.virtualBytes,
        explanation.happened,
        explanation.unchanged,
      );
      const taken = await this.#takeInto(folders, application, life, trigger, options, stop, job);
      control.notify(life.capsule.id, {
        kind: "captured",
        imageId: taken.image.id,
        trigger,
        pauseMs: taken.result.pauseMs,
      });
      return taken;
    } catch (error) {
      const explained = explainOnce(error, explanation);
      const { code, message } = toFailure(explained);
      control.notify(life.capsule.id, { kind: "capture-failed", code, message });
      throw explained;
    }
  }

  /** Into the first of these folders that really has the room: the measure before is an estimate. */
  async #takeInto(
    folders: readonly string[],
    application: Application,
    life: RunningLife,
    trigger: Trigger,
    options: ImageWishes,
    stop: boolean,
    job: Job,
  ): Promise<Taken> {
    const at = new Date();
    const [folder, ...others] = folders;
    if (folder === undefined) {
      throw new Error("no store to capture into");
    }
    const path = captureImagePath(folder, application.id, at);
    job.plan({ imagePath: path });
    const meta = {
      application: application.id,
      trigger,
      label: options.label,
      lineageParentId: application.currentImageId,
      life: life.number,
      tickets: {
        asked: options.ticket ?? null,
        waiting: this.#services.tickets
          .open(application.id)
          .filter((ticket) => ticket !== options.ticket),
      },
    };
    const call = (parent: ImageRecord | null): Promise<HelperResult<"capture">> =>
      this.#services.helper.call({
        command: "capture",
        args: captureArguments({
          capsuleId: life.capsule.id,
          image: path,
          stop,
          compress: options.compress ?? application.config?.capture.compress ?? "none",
          rate: application.config?.capture.rate ?? null,
          parent: parent?.path ?? null,
          track: !stop && application.config?.capture.incremental === true,
          meta: {
            ...imageMeta(meta),
            connections: application.config?.capture.connections ?? "keep",
          },
        }),
        signal: job.signal,
        onProgress: (progress) => {
          job.progress(progress.phase, progress.doneBytes ?? null, progress.totalBytes ?? null);
        },
      });
    let result: HelperResult<"capture">;
    try {
      const parent = options.replaces === true ? null : this.#parentIn(folder, application);
      result = parent === null ? await call(null) : await this.#increment(parent, call);
    } catch (error) {
      await removeTemporaries(path);
      if ((error as Partial<FailureError>).code === "no-room" && others.length > 0) {
        return this.#takeInto(others, application, life, trigger, options, stop, job);
      }
      throw error;
    }
    const finalPath = finalImagePath(folder, application.id, at, result.imageId);
    await rename(path, finalPath);
    await syncFolder(folder);
    const image: ImageRecord = {
      id: result.imageId,
      applicationId: application.id,
      createdAt: at.toISOString(),
      trigger,
      label: options.label,
      state: "ok",
      stateReason: null,
      path: finalPath,
      sizes: result.sizes,
      fileBytes: result.fileBytes,
      pauseMs: result.pauseMs,
      durationMs: result.durationMs,
      processes: result.processes,
      threads: result.threads,
      compress: result.compress,
      parentId: result.parentId ?? null,
      lineageParentId: meta.lineageParentId,
      life: life.number,
      verifiedAt: null,
      restoredAt: null,
      notes: result.notes ?? [],
      ...newImageMarks(),
    };
    const { catalog } = this.#services;
    catalog.transaction(() => {
      catalog.images.put(image);
      catalog.tickets.put(application.id, image.id, meta.tickets);
    });
    this.#services.events.emit("image.added", { image });
    this.#services.measurer.rememberSystemState(application.id, result.sizes.systemStateBytes);
    return { image, result };
  }

  /**
   * What the next image can build on: the point where the application stands, where its file wants
   * incremental images and nothing speaks against it.
   */
  #parentIn(folder: string, application: Application): ImageRecord | null {
    const { images } = this.#services.catalog;
    const { currentImageId, config } = application;
    const parent = currentImageId === null ? null : images.get(currentImageId);
    return config?.capture.incremental === true &&
      parent?.state === "ok" &&
      dirname(parent.path) === folder &&
      basesOf(images, parent).length + 2 <= config.capture["longest-chain"]
      ? parent
      : null;
  }

  /** An image that builds on another; a complete one where that can't be built upon. */
  async #increment(
    parent: ImageRecord,
    call: (parent: ImageRecord | null) => Promise<HelperResult<"capture">>,
  ): Promise<HelperResult<"capture">> {
    const { catalog, imageLocks, log } = this.#services;
    let release: () => void;
    try {
      release = imageLocks.acquireAll(
        [parent, ...basesOf(catalog.images, parent)].map(({ id }) => id),
        "read",
        "a new image is being built on it",
      );
    } catch {
      // It is being moved or made whole.
      return call(null);
    }
    try {
      return await call(parent);
    } catch (error) {
      const { code, message } = toFailure(error);
      if (!unusableParent.has(code)) {
        throw error;
      }
      log.warn({ image: parent.id, code, reason: message }, "an image can't be built upon");
      const result = await call(null);
      const note = `It is complete: it could not build on image ${parent.id.slice(0, 8)} (${message})`;
      return { ...result, notes: [...(result.notes ?? []), note] };
    } finally {
      release();
    }
  }
}

/** Failures that may be the parent's: without it the capture can go well. */
const unusableParent: ReadonlySet<FailureCode> = new Set([
  "damaged",
  "foreign",
  "incompatible",
  "parent-missing",
]);

export function requireRunning(application: Application): RunningLife {
  if (application.life !== null) {
    return application.life;
  }
  return fail("not-running", {
    happened: `${application.title} does not run, so there is nothing to capture.`,
    unchanged: "Nothing was changed.",
    remedy:
      application.remembered.state === "hibernated"
        ? "Wake it first."
        : "Start it first, or restore an image.",
    applicationId: application.id,
  });
}

/** A failure that already says what is unchanged was put into words where it arose. */
export function explainOnce(error: unknown, explanation: Parameters<typeof explain>[1]): unknown {
  const unchanged = (error as Partial<FailureError>).failure?.detail?.unchanged;
  return unchanged === undefined ? explain(error, explanation) : error;
}

function describeResult(
  image: ImageRecord,
  result: HelperResult<"capture">,
  replacedImageId: string | null,
): OperationResult {
  return {
    imageId: image.id,
    pauseMs: result.pauseMs,
    durationMs: result.durationMs,
    bytes: result.fileBytes,
    path: image.path,
    notes: result.notes ?? [],
    ...(replacedImageId === null ? {} : { replacedImageId }),
  };
}

/** A helper that was killed could not remove what it had begun to write. */
async function removeTemporaries(imagePath: string): Promise<void> {
  const folder = dirname(imagePath);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (isTemporaryName(name) && name.includes(basename(imagePath, ".torpor"))) {
      await rm(join(folder, name), { force: true });
    }
  }
}
