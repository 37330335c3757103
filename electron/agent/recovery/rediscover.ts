/**
 * Picks up where an earlier agent was interrupted: finds the capsules that live on, undoes or completes
 * what that agent had begun, and says how each application is now. Harms none: a capsule that is an
 * application's is only ever adopted; one is ended only when it was half built by an unfinished restore.
 */
import { existsSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  describeFailure,
  operationNouns,
  type ApplicationId,
  type ExitReport,
  type ImageId,
  type ImageRecord,
  type OperationRecord,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import { Capsule, listCapsuleIds, parseCapsuleId } from "../capsules/capsule.js";
import { currentBootId } from "../capsules/process-identity.js";
import type { UnfinishedOperation } from "../catalog/operation-table.js";
import { judgeExit, KILL_TIMEOUT_MS, type LifeOperations } from "../operations/life-operations.js";
import type { Services } from "../operations/services.js";
import { finalImagePath } from "../stores/image-names.js";
import { syncFolder } from "../stores/move-file.js";
import type { StoreScan } from "./scan-stores.js";

/** An application that ran when the last agent ended, and doesn't any more. */
export interface EndedAway {
  /** Null where the agent's own start says what happened: nothing of the application is known. */
  readonly kind: "crash" | null;
  readonly happened: string | null;
  readonly exit: ExitReport | null;
  readonly life: number | null;
}

interface Found {
  readonly life: number;
  readonly capsule: Capsule;
}

export class Rediscovery {
  readonly #services: Services;
  readonly #lives: LifeOperations;
  readonly #scan: StoreScan;
  readonly #ended = new Map<ApplicationId, EndedAway>();

  constructor(services: Services, lives: LifeOperations, scan: StoreScan) {
    this.#services = services;
    this.#lives = lives;
    this.#scan = scan;
  }

  /** Helpers of the earlier agent have ended when this is called. */
  async run(): Promise<ReadonlyMap<ApplicationId, EndedAway>> {
    const { applications, catalog, log } = this.#services;
    const unfinished = catalog.operations.unfinished();
    const found = this.#findCapsules();
    for (const { record, plan } of unfinished) {
      if (plan.imagePath !== undefined) {
        await this.#enterFinishedImage(record, plan.imagePath);
      }
      if (record.kind === "flatten" && record.imageId !== null) {
        await this.#readAgain(record.imageId);
      }
    }
    for (const application of applications.list()) {
      const own = found.get(application.id) ?? [];
      const begun = unfinished.filter(({ record }) => record.applicationId === application.id);
      await this.#settle(application, own, begun);
    }
    for (const { record } of unfinished) {
      this.#close(record);
    }
    if (found.size > 0 || unfinished.length > 0) {
      log.info(
        { capsules: found.size, unfinishedOperations: unfinished.length },
        "picked up where an earlier agent ended",
      );
    }
    return this.#ended;
  }

  /** Capsules of applications, by application; those of dead lives are kept for their exit reports. */
  #findCapsules(): Map<string, Found[]> {
    const { capsulesFolder, applications } = this.#services;
    const found = new Map<string, Found[]>();
    for (const id of listCapsuleIds(capsulesFolder)) {
      const owner = parseCapsuleId(id);
      const capsule = Capsule.read(capsulesFolder, id);
      if (owner === null) {
        continue;
      }
      if (capsule === null) {
        // Begun by a helper that was killed before there was a capsule in it.
        rmSync(join(capsulesFolder, id), { recursive: true, force: true });
        continue;
      }
      applications.obtain(owner.application);
      const list = found.get(owner.application) ?? [];
      list.push({ life: owner.life, capsule });
      found.set(owner.application, list);
    }
    return found;
  }

  async #settle(
    application: Application,
    own: readonly Found[],
    begun: readonly UnfinishedOperation[],
  ): Promise<void> {
    const { remembered } = application;
    const alive = own.filter(({ capsule }) => capsule.alive);
    const current =
      alive.find(({ life }) => life === remembered.currentLife) ??
      this.#begunLife(alive, begun) ??
      newest(alive);
    for (const { life, capsule } of own) {
      if (life === current?.life) {
        continue;
      }
      if (capsule.alive) {
        // Half of an unfinished restore: the application is the other one.
        capsule.signal("SIGKILL");
        await capsule.waitForEnd(KILL_TIMEOUT_MS);
      } else if (life === remembered.currentLife && current === undefined) {
        continue;
      }
      capsule.remove();
    }
    if (current !== undefined) {
      // The earlier agent may have been killed while it held it still.
      current.capsule.setFrozen(false);
      this.#services.applications.adoptLife(application, current.life, current.capsule);
      this.#lives.watch(application, current.capsule);
      await this.#openControl(application, current);
      return;
    }
    this.#settleDead(application, own, begun);
  }

  async #openControl(application: Application, { life, capsule }: Found): Promise<void> {
    const imageId = capsule.file.restoredFrom ?? null;
    await this.#services.control.open({
      application,
      number: life,
      capsuleId: capsule.id,
      restored:
        imageId === null
          ? null
          : {
              imageId,
              occurrence: application.life?.occurrence ?? null,
              at: Date.parse(capsule.file.startedAt),
            },
    });
  }

  /** A start that the earlier agent did not see the end of: it has happened. */
  #begunLife(alive: readonly Found[], begun: readonly UnfinishedOperation[]): Found | undefined {
    return alive.find(({ capsule }) =>
      begun.some(({ record, plan }) => record.kind === "start" && plan.capsuleId === capsule.id),
    );
  }

  #settleDead(
    application: Application,
    own: readonly Found[],
    begun: readonly UnfinishedOperation[],
  ): void {
    const { applications } = this.#services;
    const { remembered } = application;
    if (remembered.state !== "running") {
      return;
    }
    const dead = own.find(({ life }) => life === remembered.currentLife);
    const hibernation = begun.find(({ record }) => record.kind === "hibernate");
    const image = hibernation === undefined ? null : this.#imageOf(application, hibernation.record);
    if (image !== null) {
      applications.endLife(application, {
        state: "hibernated",
        reason: null,
        exit: null,
        hibernatedImageId: image.id,
        held: true,
      });
    } else if (begun.some(({ record }) => record.kind === "stop")) {
      applications.endLife(application, { state: "stopped", reason: null, exit: null, held: true });
    } else {
      const exit = dead?.capsule.readExit() ?? null;
      const sameBoot = dead?.capsule.file.bootId === currentBootId();
      const { state, reason } =
        exit === null && !sameBoot
          ? {
              state: "failed" as const,
              reason: "ended with the machine, which was switched off or restarted",
            }
          : judgeExit(exit);
      const { currentLife } = remembered;
      applications.endLife(application, { state, reason, exit, held: false });
      if (state === "failed" || application.config?.recovery?.["on-exit"] === "recover") {
        this.#ended.set(application.id, {
          kind: exit === null ? null : "crash",
          happened: exit === null ? null : reason,
          exit,
          life: currentLife,
        });
      }
      if (state === "failed" && application.config?.recovery === undefined) {
        this.#services.notices.add(
          "error",
          application.id,
          `${application.title} ${reason} while no agent was there. Start it, or restore one of its images.`,
        );
      }
    }
    dead?.capsule.remove();
  }

  /** The image that an unfinished hibernation has written: the newest since it began. */
  #imageOf(application: Application, operation: OperationRecord): ImageRecord | null {
    return (
      this.#services.catalog.images
        .list(application.id)
        .find(
          (image) =>
            image.trigger === "hibernate" &&
            image.state === "ok" &&
            Date.parse(image.createdAt) >= Date.parse(operation.startedAt) - 1000,
        ) ?? null
    );
  }

  /** A capture's image is durable as soon as it has its name, whether or not an agent saw it. */
  async #enterFinishedImage(operation: OperationRecord, path: string): Promise<void> {
    if (!existsSync(path)) {
      return;
    }
    const { catalog, applications } = this.#services;
    const found = await this.#scan.read(path);
    if (found === null || catalog.images.get(found.image.id) !== null) {
      return;
    }
    const { image } = found;
    const finalPath = finalImagePath(
      dirname(path),
      image.applicationId,
      new Date(image.createdAt),
      image.id,
    );
    await rename(path, finalPath);
    await syncFolder(dirname(path));
    this.#scan.enter({ ...found, image: { ...image, path: finalPath } });
    const application = applications.find(operation.applicationId);
    if (application !== null) {
      application.remembered.currentImageId = image.id;
      catalog.applications.put(application.remembered);
    }
  }

  /** The image may have been made whole after the catalog was last told of it. */
  async #readAgain(id: ImageId): Promise<void> {
    const { images } = this.#services.catalog;
    const known = images.get(id);
    const found = known === null ? null : await this.#scan.read(known.path);
    if (known !== null && found?.image.id === id) {
      const { parentId, fileBytes } = found.image;
      images.put({ ...known, parentId, fileBytes });
    }
  }

  #close(operation: OperationRecord): void {
    const { catalog, applications } = this.#services;
    const application = applications.find(operation.applicationId);
    const now = application === null ? "gone" : application.remembered.state;
    catalog.operations.put({
      ...operation,
      state: "failed",
      cancellable: false,
      endedAt: new Date().toISOString(),
      error: describeFailure("cancelled", {
        happened: `The ${operationNouns[operation.kind]} was interrupted: the agent ended in the middle of it.`,
        unchanged: `The application is ${now} now; its images are untouched.`,
        remedy: "Repeat it if it is still wanted.",
        applicationId: operation.applicationId,
      }),
    });
  }
}

/** Where the recorded life is dead, or none is recorded: whichever lives is the application. */
function newest(alive: readonly Found[]): Found | undefined {
  return alive.reduce<Found | undefined>(
    (best, each) => (best === undefined || each.life > best.life ? each : best),
    undefined,
  );
}
