/**
 * Takes images that nobody asks for: at intervals, by the calendar, when an application has been idle or
 * says that its start-up is finished. What comes due while it can't be is left out and not made up for;
 * only where the application itself has said "not now" does it wait for that to end.
 */
import {
  FailureError,
  nextElapse,
  type ApplicationConfig,
  type ApplicationId,
  type CapsuleId,
  type ImageRecord,
  type OperationRecord,
  type Trigger,
} from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";
import type { Services } from "../operations/services.js";
import type { Clock } from "./clock.js";
import { IdleMeter } from "./idle-meter.js";

interface Planned {
  readonly life: RunningLife;
  readonly config: ApplicationConfig;
  nextEvery: number | null;
  nextCalendar: number | null;
  readonly idle: IdleMeter | null;
  /** Said to be ready, and not captured since. */
  ready: boolean;
  /** What came due while the application had said "not now", and when. */
  deferred: { readonly trigger: Trigger; readonly at: number } | null;
}

/** What begins a capture; `CaptureOperations` in the agent. */
export interface Capturer {
  capture(
    application: Application,
    options: {
      readonly trigger: Trigger;
      readonly label: null;
      readonly compress: null;
      readonly keep: null;
      readonly hibernate: false;
    },
  ): OperationRecord;
}

const TICK_MS = 1000;
/** Later than this, a moment has been missed: the machine slept, or the agent was stopped. */
const LATE_MS = 10_000;
const CAPTURE_WAIT_MS = 24 * 3_600_000;

export class CaptureScheduler {
  readonly #services: Services;
  readonly #captures: Capturer;
  readonly #clock: Clock;
  readonly #planned = new Map<ApplicationId, Planned>();
  /** Why the last capture of each failed: told once, not at every try. */
  readonly #told = new Map<ApplicationId, string>();
  #cancelTick: () => void = () => undefined;
  #stopHearing: () => void = () => undefined;
  #stopped = false;

  constructor(services: Services, captures: Capturer, clock: Clock) {
    this.#services = services;
    this.#captures = captures;
    this.#clock = clock;
  }

  start(): void {
    this.#stopHearing = this.#services.signals.onReady((capsule) => {
      this.#heardReady(capsule);
    });
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
    this.#stopHearing();
  }

  /** When the next image of a running application comes due by interval or calendar; null: never. */
  nextDue(application: Application): number | null {
    const planned = this.#planned.get(application.id);
    const times = [planned?.nextEvery, planned?.nextCalendar].filter((time) => time != null);
    return times.length === 0 ? null : Math.min(...times);
  }

  #heardReady(capsule: CapsuleId): void {
    const application = this.#services.applications
      .list()
      .find((each) => each.life?.capsule.id === capsule || capsule.startsWith(`${each.id}.`));
    if (application?.config?.capture["after-ready"] === true) {
      const planned = this.#planOf(application);
      if (planned !== null) {
        planned.ready = true;
      }
    }
  }

  #tick(): void {
    if (this.#stopped) {
      return;
    }
    for (const application of this.#services.applications.list()) {
      const planned = this.#planOf(application);
      const trigger = planned === null ? null : this.#due(application, planned);
      if (planned !== null && trigger !== null) {
        this.#take(application, planned, trigger);
      }
    }
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      this.#tick();
    });
  }

  /** The plan of the life that runs under the configuration that holds; made anew when either changes. */
  #planOf(application: Application): Planned | null {
    const { life, config } = application;
    if (life === null || config === null || !takesImages(config)) {
      this.#planned.delete(application.id);
      return null;
    }
    const known = this.#planned.get(application.id);
    if (known?.life === life && known.config === config) {
      return known;
    }
    const now = this.#clock.now();
    const { every, "when-idle": whenIdle } = config.capture;
    const planned: Planned = {
      life,
      config,
      nextEvery: every === undefined ? null : now + every,
      nextCalendar: nextOf(config, now),
      idle:
        whenIdle === undefined
          ? null
          : new IdleMeter(life.capsule, whenIdle, now, () =>
              this.#services.terminals.lastInputAt(application.id),
            ),
      // A life that was found again has said so to an earlier agent, which has acted on it.
      ready: known?.life === life && known.ready,
      deferred: null,
    };
    this.#planned.set(application.id, planned);
    return planned;
  }

  /** Why an image is due now; null when none is. */
  #due(application: Application, planned: Planned): Trigger | null {
    const now = this.#clock.now();
    const { every } = planned.config.capture;
    let due: Trigger | null = null;
    if (planned.nextEvery !== null && every !== undefined && now >= planned.nextEvery) {
      due = this.#inTime(application, planned.nextEvery, now) ? "schedule" : null;
      planned.nextEvery += every * Math.max(1, Math.ceil((now + 1 - planned.nextEvery) / every));
    }
    if (planned.nextCalendar !== null && now >= planned.nextCalendar) {
      due = this.#inTime(application, planned.nextCalendar, now) ? "schedule" : due;
      planned.nextCalendar = nextOf(planned.config, now);
    }
    if (planned.idle?.isDue(now) === true) {
      due ??= "idle";
    }
    if (planned.ready && application.operationId === null) {
      // The start itself may still be under way when the application says that it is done with its own.
      planned.ready = false;
      due ??= "ready";
    }
    return due ?? planned.deferred?.trigger ?? null;
  }

  #inTime(application: Application, dueAt: number, now: number): boolean {
    const inTime = now - dueAt <= LATE_MS;
    if (!inTime) {
      this.#services.log.info(
        { application: application.id, dueAt: new Date(dueAt).toISOString() },
        "a scheduled image was missed and is not made up for",
      );
    }
    return inTime;
  }

  #take(application: Application, planned: Planned, trigger: Trigger): void {
    const { log, signals } = this.#services;
    if (signals.inhibitions(planned.life.capsule.id).length > 0) {
      if (planned.deferred === null) {
        planned.deferred = { trigger, at: this.#clock.now() };
        log.info(
          { application: application.id, trigger },
          "an image waits until the application allows it",
        );
      }
      return;
    }
    const { deferred } = planned;
    if (application.operationId !== null) {
      if (deferred === null) {
        log.info(
          { application: application.id, trigger, operation: application.operationId },
          "an image was left out: another operation has the application",
        );
      }
      return;
    }
    planned.deferred = null;
    void this.#capture(application, planned, trigger, deferred?.at ?? null).catch(
      (error: unknown) => {
        log.error(
          { application: application.id, error: String(error) },
          "a scheduled image failed",
        );
      },
    );
  }

  async #capture(
    application: Application,
    planned: Planned,
    trigger: Trigger,
    deferredAt: number | null,
  ): Promise<void> {
    let failure: { code: string; message: string } | null;
    let imageId: string | undefined;
    try {
      const begun = this.#captures.capture(application, {
        trigger,
        label: null,
        compress: null,
        keep: null,
        hibernate: false,
      });
      const ended = await this.#services.operations.wait(begun.id, CAPTURE_WAIT_MS);
      failure = ended.error;
      imageId = ended.result?.imageId;
    } catch (error) {
      if (!(error instanceof FailureError)) {
        throw error;
      }
      failure = error.failure;
    }
    planned.idle?.captured(this.#clock.now());
    if (this.#stopped) {
      return;
    }
    if (failure === null) {
      this.#told.delete(application.id);
      const image = imageId === undefined ? null : this.#services.catalog.images.get(imageId);
      if (deferredAt !== null && image !== null) {
        this.#noteDeferral(image, deferredAt);
      }
      return;
    }
    // A cancelled one was somebody's wish, and a bound that was passed has its own notice.
    const quiet = ["cancelled", "busy", "not-running", "inhibited"].includes(failure.code);
    if (!quiet && this.#told.get(application.id) !== failure.code) {
      this.#told.set(application.id, failure.code);
      if (failure.code !== "no-room" || !failure.message.includes("may take")) {
        this.#services.notices.add(
          "error",
          application.id,
          `An image that was due (${trigger}) was not taken. ${failure.message}`,
        );
      }
    }
  }

  #noteDeferral(image: ImageRecord, dueAt: number): void {
    const { catalog, events } = this.#services;
    const seconds = Math.max(1, Math.round((this.#clock.now() - dueAt) / 1000));
    const changed: ImageRecord = {
      ...image,
      notes: [
        ...image.notes,
        `It was due ${seconds} s earlier and waited, as the application had asked not to be captured.`,
      ],
    };
    catalog.images.put(changed);
    events.emit("image.changed", { image: changed });
  }
}

function takesImages({ capture }: ApplicationConfig): boolean {
  return (
    capture.every !== undefined ||
    capture.calendar !== undefined ||
    capture["when-idle"] !== undefined ||
    capture["after-ready"]
  );
}

function nextOf({ capture }: ApplicationConfig, now: number): number | null {
  const times = (capture.calendar ?? [])
    .map((expression) => nextElapse(expression, now))
    .filter((time) => time !== null);
  return times.length === 0 ? null : Math.min(...times);
}
