/**
 * Supervision: hears of every life that begins and ends, judges it, and brings an application with a
 * [recovery] table back after an occurrence, by its rules, with growing pauses, and never for ever.
 *
 * What is decided lies in `selection.ts`, `back-off.ts` and `episode.ts`, which do nothing; this does it
 * and writes down why.
 */
import {
  DEFAULT_HEALTHY_AFTER_MS,
  fail,
  FailureError,
  writeDuration,
  type ApplicationId,
  type Decision,
  type ExitReport,
  type ImageId,
  type ImageRecord,
  type OccurrenceRecord,
  type OperationRecord,
  type RecoveredOccurrence,
  type RecoveryConfig,
} from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";
import type { LifeEnd } from "../applications/applications.js";
import { currentBootId } from "../capsules/process-identity.js";
import { requireNotRunning, type LifeOperations } from "../operations/life-operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";
import type { Clock } from "../policy/clock.js";
import { newEpisode, readEpisode, withFailure, type Attempt, type Episode } from "./episode.js";
import { select, type Selection } from "./selection.js";

/** What happened to an application, before anything is decided about it. */
export interface Happening {
  readonly kind: RecoveredOccurrence;
  /** For people, with the application as its subject: "was ended by SIGSEGV". */
  readonly happened: string;
  readonly exit: ExitReport | null;
  readonly endedLife: number | null;
}

interface Supervised {
  episode: Episode;
  /** The life that runs, and when it began by our clock. */
  beganAt: number;
  /** Ends what waits for the life to be healthy. */
  cancelHealthy: () => void;
  /** The occurrence whose attempt waits for its time, or is under way. */
  pending: OccurrenceRecord | null;
  cancelPending: () => void;
  /** Set while an attempt is being made: the life that begins now is of it. */
  acting: Attempt | null;
  /** Why it was killed, when it was because it hung. */
  hang: string | null;
  /** Images of the running life that become healthy with it. */
  readonly young: Map<ImageId, () => void>;
}

/** Another operation has the application: it is asked again so often until that has ended. */
const BUSY_RETRY_MS = 500;
/** An attempt is an operation, and those have bounds of their own. */
const OPERATION_WAIT_MS = 24 * 3_600_000;
const nothing = (): void => undefined;

export class Recovery {
  readonly #services: Services;
  readonly #lives: LifeOperations;
  readonly #restores: RestoreOperations;
  readonly #clock: Clock;
  readonly #supervised = new Map<ApplicationId, Supervised>();
  readonly #settled = new Map<ApplicationId, (() => void)[]>();
  #stopped = false;

  constructor(
    services: Services,
    lives: LifeOperations,
    restores: RestoreOperations,
    clock: Clock,
  ) {
    this.#services = services;
    this.#lives = lives;
    this.#restores = restores;
    this.#clock = clock;
    services.applications.onLife({
      began: (application, found) => {
        this.#began(application, found);
      },
      ended: (application, life, end) => {
        this.#ended(application, life, end);
      },
    });
    services.events.listen((event, payload) => {
      if (event === "image.added") {
        this.#imageAdded((payload as { image: ImageRecord }).image);
      }
    });
  }

  /** Nothing is brought back any more; what runs, runs on. */
  stop(): void {
    this.#stopped = true;
    for (const each of this.#supervised.values()) {
      each.cancelHealthy();
      each.cancelPending();
      for (const cancel of each.young.values()) {
        cancel();
      }
    }
    for (const id of [...this.#settled.keys()]) {
      this.#settle(id);
    }
  }

  /** What would be done if this happened now. Null where the application is not supervised. */
  explain(
    application: Application,
    kind: RecoveredOccurrence,
    config = application.config?.recovery,
  ): Decision | null {
    return config === undefined
      ? null
      : this.#select(application, config, kind, this.#of(application).episode).decision;
  }

  /** Does now what the rules say about such an occurrence, because an operator wants it. */
  recover(application: Application, kind: RecoveredOccurrence): OccurrenceRecord {
    this.#services.operations.requireIdle(application);
    requireNotRunning(application);
    if (application.config?.recovery === undefined) {
      fail("invalid-params", {
        happened: `${application.title} has no rules: there is no [recovery] in its file.`,
        unchanged: "It is as it was.",
        remedy: "Add one, or start it, or restore an image.",
        applicationId: application.id,
      });
    }
    this.#setEpisode(application, newEpisode(currentBootId()));
    this.occur(application, {
      kind,
      happened: "is brought back because an operator asked for it",
      exit: null,
      endedLife: null,
    });
    const [record] = this.#services.catalog.occurrences.list(application.id, 1);
    if (record === undefined) {
      throw new Error("the occurrence was not recorded");
    }
    return record;
  }

  /** The application runs and does nothing: it is ended, and its end is a hang. */
  hang(application: Application, reason: string): void {
    const { life } = application;
    if (life === null || application.operationId !== null) {
      return;
    }
    this.#of(application).hang = reason;
    this.#services.log.warn({ application: application.id, reason }, "an application hangs");
    life.capsule.signal("SIGKILL");
  }

  /** True while something is going to be done about it. */
  isPending(application: Application): boolean {
    const { pending, acting } = this.#of(application);
    return pending !== null || acting !== null;
  }

  isGivenUp(application: Application): boolean {
    return this.#of(application).episode.givenUp;
  }

  /** Resolves when nothing waits and nothing is tried for the application any more. */
  settled(application: Application): Promise<void> {
    if (!this.isPending(application) || this.#stopped) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const waiting = this.#settled.get(application.id) ?? [];
      waiting.push(resolve);
      this.#settled.set(application.id, waiting);
    });
  }

  /**
   * Records an occurrence, decides, and does what was decided when its time has come.
   * `imposed`: decided already, such as the image that a hibernated application wakes from.
   */
  occur(application: Application, happening: Happening, imposed?: Selection): void {
    const config = application.config?.recovery;
    if (this.#stopped || (config === undefined && imposed === undefined)) {
      return;
    }
    const supervised = this.#of(application);
    this.#supersede(supervised, "another occurrence came first");
    const { episode } = supervised;
    const selection =
      imposed ??
      (config === undefined ? null : this.#select(application, config, happening.kind, episode));
    if (selection === null) {
      return;
    }
    const { decision, rule } = selection;
    const acts = decision.action === "restore" || decision.action === "start";
    const at = new Date(this.#clock.now()).toISOString();
    const record = this.#services.catalog.occurrences.add({
      applicationId: application.id,
      kind: happening.kind,
      at,
      happened: happening.happened,
      exitStatus: happening.exit?.exitStatus ?? null,
      signalName: happening.exit?.signalName ?? null,
      endedLife: happening.endedLife,
      failures: episode.failures,
      decision,
      state: acts ? "waiting" : decision.action === "nothing" ? "done" : "failed",
      outcome: acts ? null : decision.reason,
      life: null,
      operationId: null,
      endedAt: acts ? null : at,
    });
    this.#services.events.emit("occurrence.added", { occurrence: record });
    this.#notify(application, happening, decision);
    if (!acts) {
      this.#giveUp(application, supervised, happening, decision);
      return;
    }
    supervised.pending = record;
    if (application.life === null && decision.delayMs > 0) {
      this.#services.applications.rest(
        application,
        "failed",
        `${happening.happened}; ${inWords(decision)} in ${writeDuration(decision.delayMs)}`,
      );
    }
    this.#later(application, supervised, record, rule, decision.delayMs);
  }

  #later(
    application: Application,
    supervised: Supervised,
    record: OccurrenceRecord,
    rule: number | null,
    delayMs: number,
  ): void {
    supervised.cancelPending = this.#clock.after(delayMs, () => {
      void this.#act(application, supervised, record, rule).catch((error: unknown) => {
        this.#services.log.error(
          { application: application.id, error: String(error) },
          "bringing an application back failed in an unforeseen way",
        );
        this.#settle(application.id);
      });
    });
  }

  async #act(
    application: Application,
    supervised: Supervised,
    record: OccurrenceRecord,
    rule: number | null,
  ): Promise<void> {
    if (this.#stopped || supervised.pending?.id !== record.id) {
      return;
    }
    if (application.life !== null) {
      this.#supersede(supervised, "it runs again already");
      return;
    }
    if (application.operationId !== null) {
      this.#later(application, supervised, record, rule, BUSY_RETRY_MS);
      return;
    }
    supervised.acting = { imageId: record.decision.imageId, rule, life: null };
    const ended = await this.#attempt(application, record);
    const attempt = this.#takeAttempt(supervised);
    if (this.#isStopped()) {
      // The next agent finds it unfinished, and goes on with it.
      return;
    }
    if (ended.kind === "busy") {
      this.#later(application, supervised, record, rule, BUSY_RETRY_MS);
      return;
    }
    this.#forgetPending(supervised, record);
    const failure = ended.kind === "failed" || ended.kind === "cancelled" ? ended.reason : null;
    const states = { done: "done", failed: "failed", cancelled: "superseded" } as const;
    this.#change({
      ...record,
      state: states[ended.kind],
      outcome: failure ?? this.#outcome(record.decision),
      life: attempt?.life ?? null,
      operationId: ended.operation?.id ?? null,
      endedAt: new Date(this.#clock.now()).toISOString(),
    });
    if (ended.kind === "cancelled") {
      // Somebody has taken over: neither is it brought back when the agent starts again.
      this.#setEpisode(application, newEpisode(currentBootId()));
      application.remembered.heldInBoot = currentBootId();
      this.#services.catalog.applications.put(application.remembered);
    } else if (failure !== null) {
      this.#setEpisode(application, withFailure({ ...supervised.episode, attempt }));
      this.occur(application, {
        kind: record.kind === "operator" || record.kind === "application" ? "crash" : record.kind,
        happened: `could not be brought back: ${failure.replace(/\.$/, "")}`,
        exit: null,
        endedLife: null,
      });
    }
    this.#settle(application.id);
  }

  /** Sees one attempt through to its end. */
  async #attempt(
    application: Application,
    record: OccurrenceRecord,
  ): Promise<
    | { readonly kind: "busy" }
    | {
        readonly kind: "done" | "failed" | "cancelled";
        readonly operation: OperationRecord | null;
        readonly reason: string;
      }
  > {
    let begun: OperationRecord;
    try {
      begun = this.#begin(application, record);
    } catch (error) {
      return error instanceof FailureError && error.code === "busy"
        ? { kind: "busy" }
        : {
            kind: "failed",
            operation: null,
            reason: error instanceof Error ? error.message : String(error),
          };
    }
    this.#change({ ...record, state: "acting", operationId: begun.id });
    const operation = await this.#services.operations.wait(begun.id, OPERATION_WAIT_MS);
    if (operation.error === null) {
      return { kind: "done", operation, reason: "" };
    }
    return {
      kind: operation.state === "cancelled" ? "cancelled" : "failed",
      operation,
      reason: operation.error.message,
    };
  }

  /** Asked anew after every wait. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  #takeAttempt(supervised: Supervised): Attempt | null {
    const attempt = supervised.acting;
    supervised.acting = null;
    return attempt;
  }

  /** The life that came of it may have ended already, and another occurrence be pending. */
  #forgetPending(supervised: Supervised, record: OccurrenceRecord): void {
    if (supervised.pending?.id === record.id) {
      supervised.pending = null;
    }
  }

  #begin(application: Application, { kind, decision }: OccurrenceRecord): OperationRecord {
    if (decision.imageId === null) {
      return this.#lives.start(application);
    }
    const image = this.#services.catalog.images.get(decision.imageId);
    if (image === null) {
      throw new Error(`image ${decision.imageId.slice(0, 8)} was deleted meanwhile`);
    }
    return application.remembered.hibernatedImageId === image.id
      ? this.#restores.wake(application, image, kind)
      : this.#restores.restore(application, image, false, kind);
  }

  #outcome(decision: Decision): string {
    return decision.imageId === null
      ? "it was started cleanly"
      : `it was brought back from image ${decision.imageId.slice(0, 8)}`;
  }

  #began(application: Application, found: boolean): void {
    const supervised = this.#of(application);
    const { life } = application;
    if (life === null) {
      return;
    }
    supervised.hang = null;
    supervised.beganAt = found ? Date.parse(life.capsule.file.startedAt) : this.#clock.now();
    const { acting } = supervised;
    if (acting !== null) {
      const attempt = { ...acting, life: life.number };
      supervised.acting = attempt;
      this.#setEpisode(application, { ...supervised.episode, attempt });
    } else if (!(found && supervised.episode.attempt?.life === life.number)) {
      // Not one that an earlier agent brought back in the middle of an episode.
      this.#supersede(supervised, "an operator took over");
      this.#setEpisode(application, newEpisode(currentBootId()));
      if (life.occurrence === "operator" || life.occurrence === "application") {
        this.#recordRequested(application, life, life.occurrence);
      }
    }
    const { number } = life;
    const healthyAfter = healthyAfterOf(application);
    const left = Math.max(0, supervised.beganAt + healthyAfter - this.#clock.now());
    supervised.cancelHealthy();
    supervised.cancelHealthy = this.#clock.after(left, () => {
      if (application.life?.number === number) {
        this.#healthy(application, supervised);
      }
    });
    for (const image of this.#services.catalog.images.list(application.id)) {
      if (image.life === number && image.healthyAt === null) {
        this.#imageAdded(image);
      }
    }
  }

  /** A restore that somebody asked for: on the timeline it stands beside those that nobody did. */
  #recordRequested(
    application: Application,
    life: RunningLife,
    kind: "operator" | "application",
  ): void {
    const { catalog, events } = this.#services;
    if (catalog.occurrences.ofLife(application.id, life.number) !== null) {
      return;
    }
    const at = new Date(this.#clock.now()).toISOString();
    const occurrence = catalog.occurrences.add({
      applicationId: application.id,
      kind,
      at,
      happened: kind === "operator" ? "was restored by an operator" : "asked to be put back",
      exitStatus: null,
      signalName: null,
      endedLife: null,
      failures: 0,
      decision: {
        action: "restore",
        imageId: life.restoredFromImageId,
        rule: null,
        reason: kind === "operator" ? "an operator asked for it" : "the application asked for it",
        passedOver: [],
        delayMs: 0,
      },
      state: "done",
      outcome: `it was brought back from image ${life.restoredFromImageId?.slice(0, 8) ?? "–"}`,
      life: life.number,
      operationId: null,
      endedAt: at,
    });
    events.emit("occurrence.added", { occurrence });
  }

  #ended(application: Application, life: RunningLife | null, end: LifeEnd): void {
    const supervised = this.#of(application);
    supervised.cancelHealthy();
    for (const cancel of supervised.young.values()) {
      cancel();
    }
    supervised.young.clear();
    const hang = supervised.hang;
    supervised.hang = null;
    if (end.held) {
      this.#supersede(supervised, "an operator took over");
      this.#setEpisode(application, newEpisode(currentBootId()));
      return;
    }
    if (life === null || end.state === "hibernated") {
      return;
    }
    const config = application.config?.recovery;
    const failed = end.state === "failed" || hang !== null;
    if (!failed && config?.["on-exit"] !== "recover") {
      this.#setEpisode(application, newEpisode(currentBootId()));
      return;
    }
    const kind = hang === null ? "crash" : "hang";
    if (failed && this.#clock.now() - supervised.beganAt < healthyAfterOf(application)) {
      this.#judgeFailed(application, supervised, life, kind);
    }
    this.occur(application, {
      kind,
      happened: hang === null ? (end.reason ?? "ended") : `hung: ${hang}`,
      exit: end.exit,
      endedLife: life.number,
    });
  }

  /** A life that failed soon after it began speaks against the image that it came from. */
  #judgeFailed(
    application: Application,
    supervised: Supervised,
    life: RunningLife,
    kind: "crash" | "hang",
  ): void {
    this.#setEpisode(application, withFailure(supervised.episode));
    const { catalog, events } = this.#services;
    const image =
      life.restoredFromImageId === null ? null : catalog.images.get(life.restoredFromImageId);
    if (image === null) {
      return;
    }
    const failures = image.failures + 1;
    const limit = application.config?.recovery?.["failures-per-image"] ?? 1;
    // Both the occurrence that ended it and the one that it had been chosen for.
    const occurrences = new Set([...image.suspectFor, kind]);
    if (life.occurrence !== null && life.occurrence !== "operator") {
      occurrences.add(life.occurrence);
    }
    const changed: ImageRecord = {
      ...image,
      failures,
      suspectFor: failures >= limit ? [...occurrences] : image.suspectFor,
    };
    catalog.images.put(changed);
    events.emit("image.changed", { image: changed });
  }

  /** The life has lasted long enough: it, and what it came from, can be trusted. */
  #healthy(application: Application, supervised: Supervised): void {
    const { episode } = supervised;
    if (episode.failures > 0 || episode.attempt !== null) {
      this.#setEpisode(application, newEpisode(currentBootId()));
    }
    const from = application.life?.restoredFromImageId ?? null;
    if (from !== null) {
      this.#markHealthy(from);
    }
  }

  /** An image is healthy when the life that it was taken from has gone on well after it. */
  #imageAdded(image: ImageRecord): void {
    const application = this.#services.applications.find(image.applicationId);
    if (application?.life?.number !== image.life || this.#stopped) {
      return;
    }
    const { young } = this.#of(application);
    young.get(image.id)?.();
    const due = Date.parse(image.createdAt) + healthyAfterOf(application) - this.#clock.now();
    young.set(
      image.id,
      this.#clock.after(Math.max(0, due), () => {
        young.delete(image.id);
        if (application.life?.number === image.life) {
          this.#markHealthy(image.id);
        }
      }),
    );
  }

  #markHealthy(id: ImageId): void {
    const { catalog, events } = this.#services;
    const image = catalog.images.get(id);
    if (image === null || (image.healthyAt !== null && image.suspectFor.length === 0)) {
      return;
    }
    const changed: ImageRecord = {
      ...image,
      healthyAt: image.healthyAt ?? new Date(this.#clock.now()).toISOString(),
      suspectFor: [],
      failures: 0,
    };
    catalog.images.put(changed);
    events.emit("image.changed", { image: changed });
  }

  #select(
    application: Application,
    config: RecoveryConfig,
    occurrence: RecoveredOccurrence,
    episode: Episode,
  ): Selection {
    return select({
      occurrence,
      at: this.#clock.now(),
      images: this.#services.catalog.images.list(application.id),
      config,
      episode,
    });
  }

  #giveUp(
    application: Application,
    supervised: Supervised,
    happening: Happening,
    decision: Decision,
  ): void {
    if (decision.action === "give-up") {
      this.#setEpisode(application, { ...supervised.episode, givenUp: true });
      this.#services.applications.rest(
        application,
        "failed",
        `given up: ${happening.happened}, and ${decision.reason}`,
      );
    }
    this.#settle(application.id);
  }

  /** Every failure is told; a start-up that goes as it should is not one. */
  #notify(application: Application, { kind, happened }: Happening, decision: Decision): void {
    const { notices } = this.#services;
    if (decision.action === "give-up") {
      notices.add(
        "error",
        application.id,
        `${application.title} ${happened}. It is given up: ${decision.reason}. Look into why it fails, then start it or restore one of its images.`,
      );
    } else if (kind === "crash" || kind === "hang" || happened.startsWith("could not")) {
      const when = decision.delayMs === 0 ? "now" : `in ${writeDuration(decision.delayMs)}`;
      notices.add(
        "error",
        application.id,
        `${application.title} ${happened}. It ${inWords(decision)} ${when}.`,
      );
    }
  }

  #supersede(supervised: Supervised, why: string): void {
    const { pending } = supervised;
    if (pending === null || supervised.acting !== null) {
      return;
    }
    supervised.cancelPending();
    supervised.pending = null;
    this.#change({
      ...pending,
      state: "superseded",
      outcome: why,
      endedAt: new Date(this.#clock.now()).toISOString(),
    });
    this.#settle(pending.applicationId);
  }

  #change(record: OccurrenceRecord): void {
    this.#services.catalog.occurrences.put(record);
    this.#services.events.emit("occurrence.changed", { occurrence: record });
  }

  #setEpisode(application: Application, episode: Episode): void {
    const supervised = this.#of(application);
    const blank = (each: Episode): boolean =>
      each.failures === 0 && each.attempt === null && !each.givenUp;
    if (!blank(episode) || !blank(supervised.episode)) {
      this.#services.catalog.occurrences.setEpisode(
        application.id,
        blank(episode) ? null : episode,
      );
    }
    supervised.episode = episode;
  }

  #of(application: Application): Supervised {
    const known = this.#supervised.get(application.id);
    if (known !== undefined) {
      return known;
    }
    const supervised: Supervised = {
      episode: readEpisode(
        this.#services.catalog.occurrences.episode(application.id),
        currentBootId(),
      ),
      beganAt: 0,
      cancelHealthy: nothing,
      pending: null,
      cancelPending: nothing,
      acting: null,
      hang: null,
      young: new Map(),
    };
    this.#supervised.set(application.id, supervised);
    return supervised;
  }

  #settle(id: ApplicationId): void {
    const supervised = this.#supervised.get(id);
    if (!this.#stopped && (supervised?.pending ?? supervised?.acting ?? null) !== null) {
      return;
    }
    const waiting = this.#settled.get(id) ?? [];
    this.#settled.delete(id);
    for (const resolve of waiting) {
      resolve();
    }
  }
}

function healthyAfterOf(application: Application): number {
  return application.config?.recovery?.["healthy-after"] ?? DEFAULT_HEALTHY_AFTER_MS;
}

/** "comes back from image 1f2e3d4c", "is started cleanly" */
function inWords(decision: Decision): string {
  return decision.imageId === null
    ? "is started cleanly"
    : `comes back from image ${decision.imageId.slice(0, 8)}`;
}
