/**
 * Carries retention out: after every capture, when an operator prunes, and before a capture that would
 * not fit. What goes and why is decided in `retention-plan.ts`; here it is looked at once more and deleted.
 */
import {
  fail,
  type ApplicationId,
  type HeldImage,
  type ImageId,
  type ImageRecord,
  type KeepConfig,
  type PruneEntry,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import type { ImageOperations } from "../operations/image-operations.js";
import type { Services } from "../operations/services.js";
import type { AgentSettings } from "../settings.js";
import { mebibytes } from "../stores/stores.js";
import type { Clock } from "./clock.js";
import {
  planRetention,
  planStore,
  protectedBytes,
  type RetentionContext,
  type RetentionVerdict,
} from "./retention-plan.js";

/** An application without a file: nobody said which of its images may go. */
const KEEP_ALL: KeepConfig = { policy: "keep" };

export interface PruneResult {
  readonly entries: PruneEntry[];
  readonly freedBytes: number;
  readonly held: HeldImage[];
}

export class Retention {
  readonly #services: Services;
  readonly #images: ImageOperations;
  readonly #settings: AgentSettings;
  readonly #clock: Clock;
  /** Applications whose last capture had no room: told once, not at every try. */
  readonly #refused = new Set<ApplicationId>();

  constructor(services: Services, images: ImageOperations, settings: AgentSettings, clock: Clock) {
    this.#services = services;
    this.#images = images;
    this.#settings = settings;
    this.#clock = clock;
  }

  /** Every image of one application or of all, with what retention would do to it now. */
  plan(application: Application | null): RetentionVerdict[] {
    const { applications } = this.#services;
    const context = this.#context();
    const all = applications.list().flatMap((each) => this.#planOf(each, context, new Set()));
    const bound = this.#settings.keepBytes;
    const judged = bound === null ? all : planStore(all, bound, context);
    return application === null
      ? judged
      : judged.filter(({ image }) => image.applicationId === application.id);
  }

  async prune(application: Application | null, dryRun: boolean): Promise<PruneResult> {
    const plan = this.plan(application);
    const pruned = await this.#delete(
      plan.filter(({ keep }) => !keep),
      dryRun,
    );
    const held = plan.filter((each) => each.held).map(({ image, reason }) => ({ image, reason }));
    return { ...pruned, held };
  }

  /**
   * The seed's steps 60 and 61, and the file's rules: called when a new image is durable and in the
   * catalog. `keep: false` (or `policy = "replace"`) lets the image before it go.
   * @returns the image that was replaced, if one was.
   */
  async afterCapture(
    application: Application,
    image: ImageRecord,
    keep: boolean | null,
  ): Promise<ImageId | null> {
    this.#refused.delete(application.id);
    const previous = this.replaces(application, keep)
      ? this.#services.catalog.images.list(application.id).find(
          (each) =>
            each.id !== image.id &&
            each.createdAt <= image.createdAt &&
            // What an operator or a schedule has taken is not the application's to replace.
            (image.trigger !== "application" || each.trigger === "application"),
        )
      : undefined;
    const context = this.#context();
    const replaced = new Set(previous === undefined ? [] : [previous.id]);
    let verdicts = this.#planOf(application, context, replaced);
    const bound = this.#settings.keepBytes;
    if (bound !== null && this.#services.catalog.images.bytesOf(null) > bound) {
      const others = this.#services.applications
        .list()
        .filter((each) => each !== application)
        .flatMap((each) =>
          // What others' own rules say is theirs to carry out, at their next capture.
          this.#services.catalog.images
            .list(each.id)
            .map((own): RetentionVerdict => ({ image: own, keep: true, reason: "", held: false })),
        );
      verdicts = planStore([...verdicts, ...others], bound, context);
    }
    // The new image itself is what somebody waits for.
    const going = verdicts.filter(({ image: each, keep: stays }) => !stays && each.id !== image.id);
    const { entries } = await this.#delete(going, false);
    return (
      entries.find(({ image: each, deleted }) => deleted && replaced.has(each.id))?.image.id ?? null
    );
  }

  /** Whether a new image makes the one before it go: by the request, or else by the file. */
  replaces(application: Application, keep: boolean | null): boolean {
    return !(keep ?? this.#policyOf(application).policy === "keep");
  }

  /**
   * Refuses a capture that retention could not make fit: into the bytes of the application or of all.
   * @throws FailureError with code `no-room`, after a notice.
   */
  requireRoom(application: Application, bytes: number): void {
    const context = this.#context();
    const images = this.#services.catalog.images.list();
    const own = images.filter(({ applicationId }) => applicationId === application.id);
    const ownBound = this.#policyOf(application).bytes;
    const ownNeed = protectedBytes(own, context, bytes);
    if (ownBound !== undefined && ownNeed > ownBound) {
      this.#refuse(
        application,
        `its images may take ${mebibytes(ownBound)}, and with this one they would take ${mebibytes(ownNeed)}, even if all went that may`,
        'Delete or unpin images of it, or raise "bytes" in [keep] of its file.',
      );
    }
    const bound = this.#settings.keepBytes;
    if (bound === null) {
      return;
    }
    const others = Map.groupBy(
      images.filter(({ applicationId }) => applicationId !== application.id),
      ({ applicationId }) => applicationId,
    );
    const need = [...others.values()].reduce(
      (sum, each) => sum + protectedBytes(each, context),
      protectedBytes(own, context, bytes),
    );
    if (need > bound) {
      this.#refuse(
        application,
        `all images together may take ${mebibytes(bound)}, and with this one they would take ${mebibytes(need)}, even if all went that may`,
        'Delete or unpin images, or raise "bytes" in [keep] of agent.toml.',
      );
    }
  }

  #refuse(application: Application, reason: string, remedy: string): never {
    if (!this.#refused.has(application.id)) {
      this.#refused.add(application.id);
      this.#services.notices.add(
        "error",
        application.id,
        `${application.title} is not captured: ${reason}. ${remedy}`,
      );
    }
    return fail("no-room", {
      happened: `${application.title} is not captured: ${reason}.`,
      unchanged: "It runs on as before, and no image was written or deleted.",
      remedy,
      applicationId: application.id,
    });
  }

  #policyOf(application: Application): KeepConfig {
    return application.config?.keep ?? KEEP_ALL;
  }

  #planOf(
    application: Application,
    context: RetentionContext,
    replaced: ReadonlySet<ImageId>,
  ): RetentionVerdict[] {
    return planRetention(
      this.#services.catalog.images.list(application.id),
      this.#policyOf(application),
      context,
      replaced,
    );
  }

  #context(): RetentionContext {
    const { applications, imageLocks } = this.#services;
    return {
      now: this.#clock.now(),
      inUse: imageLocks.used(),
      awaited: new Set(
        applications.list().flatMap(({ remembered }) => remembered.hibernatedImageId ?? []),
      ),
    };
  }

  /** Those that build on others go first; what has come into use meanwhile stays. */
  async #delete(
    going: readonly RetentionVerdict[],
    dryRun: boolean,
  ): Promise<Omit<PruneResult, "held">> {
    const entries: PruneEntry[] = [];
    let freedBytes = 0;
    const ids = new Set(going.map(({ image }) => image.id));
    let left = [...going];
    while (left.length > 0) {
      const bases = new Set(left.flatMap(({ image }) => image.parentId ?? []));
      const leaves = left.filter(({ image }) => !bases.has(image.id));
      if (leaves.length === 0) {
        break;
      }
      for (const { image, reason } of leaves) {
        ids.delete(image.id);
        let kept: string | null = null;
        if (!dryRun) {
          try {
            await this.#images.delete(image);
          } catch (error) {
            kept = error instanceof Error ? error.message : String(error);
            this.#services.log.info(
              { image: image.id, reason: kept },
              "an image could not be pruned",
            );
          }
        }
        freedBytes += kept === null && image.state !== "missing" ? image.fileBytes : 0;
        entries.push({ image, reason, deleted: !dryRun && kept === null, kept });
      }
      left = left.filter(({ image }) => ids.has(image.id));
    }
    return { entries, freedBytes };
  }
}
