/**
 * Long work as jobs: an id, progress, cancellation, one end, a place in the history. One operation at a
 * time may change an application; a second is refused with the name of the first.
 */
import { randomBytes } from "node:crypto";
import {
  describeFailure,
  fail,
  FailureError,
  hasEnded,
  operationNouns,
  toFailure,
  type ImageId,
  type OperationId,
  type OperationKind,
  type OperationPhase,
  type OperationRecord,
  type OperationResult,
} from "../../contract/index.js";
import type { AgentEvents } from "../agent-events.js";
import type { Activity, Application } from "../applications/application.js";
import type { Applications } from "../applications/applications.js";
import type { Catalog } from "../catalog/catalog.js";
import type { OperationPlan } from "../catalog/operation-table.js";
import type { Logger } from "../log.js";

/** What the work of an operation sees of it. */
export interface Job {
  readonly id: OperationId;
  readonly signal: AbortSignal;
  progress(phase: OperationPhase, doneBytes?: number | null, totalBytes?: number | null): void;
  /** After this it goes on to its end, whatever anybody asks. */
  forbidCancel(): void;
  /** Makes durable what the next agent has to clear up if this one ends now. */
  plan(plan: OperationPlan): void;
}

export interface OperationRequest {
  readonly kind: OperationKind;
  readonly application: Application;
  readonly imageId: ImageId | null;
  /** What the application shows meanwhile. Null for work that does not change the application. */
  readonly activity: Activity | null;
  readonly cancellable: boolean;
  readonly work: (job: Job) => Promise<OperationResult>;
}

interface ActiveOperation {
  record: OperationRecord;
  readonly application: Application;
  readonly controller: AbortController;
  readonly ended: Promise<OperationRecord>;
  lastEventAt: number;
  eventTimer: NodeJS.Timeout | null;
}

/** At most ten progress events a second and operation: more than anybody sees. */
const EVENT_INTERVAL_MS = 100;

export class Operations {
  readonly #catalog: Catalog;
  readonly #applications: Applications;
  readonly #events: AgentEvents;
  readonly #log: Logger;
  readonly #active = new Map<OperationId, ActiveOperation>();
  #closing = false;

  constructor(catalog: Catalog, applications: Applications, events: AgentEvents, log: Logger) {
    this.#catalog = catalog;
    this.#applications = applications;
    this.#events = events;
    this.#log = log;
  }

  /** True from when the agent ends: what is cancelled now is nobody's wish. */
  get isClosing(): boolean {
    return this.#closing;
  }

  /** @throws FailureError with code `busy` when another operation holds the application. */
  start(request: OperationRequest): OperationRecord {
    const { application, kind } = request;
    const exclusive = request.activity !== null;
    if (this.#closing) {
      fail("busy", {
        happened: "The agent is about to end and starts nothing new.",
        unchanged: `${application.title} is as it was.`,
        remedy: "Start the agent again.",
      });
    }
    if (exclusive) {
      this.requireIdle(application);
    }
    const record: OperationRecord = {
      id: newOperationId(),
      kind,
      applicationId: application.id,
      imageId: request.imageId,
      state: "running",
      phase: "prepare",
      doneBytes: null,
      totalBytes: null,
      cancellable: request.cancellable,
      startedAt: new Date().toISOString(),
      endedAt: null,
      result: null,
      error: null,
    };
    this.#catalog.operations.put(record);
    const controller = new AbortController();
    let resolve: (record: OperationRecord) => void = () => undefined;
    const ended = new Promise<OperationRecord>((settle) => {
      resolve = settle;
    });
    const active: ActiveOperation = {
      record,
      application,
      controller,
      ended,
      lastEventAt: 0,
      eventTimer: null,
    };
    this.#active.set(record.id, active);
    if (exclusive) {
      application.operationId = record.id;
      this.#applications.setActivity(application, request.activity);
    }
    this.#log.info(
      { operation: record.id, kind, application: application.id },
      "operation started",
    );
    this.#announce(active);
    void this.#run(active, request).then(resolve);
    return record;
  }

  /** @throws FailureError with code `busy`, naming what is being done. */
  requireIdle(application: Application): void {
    if (application.operationId === null) {
      return;
    }
    const other = this.#active.get(application.operationId)?.record;
    const doing =
      other === undefined
        ? "another operation"
        : `the ${operationNouns[other.kind]} since ${other.startedAt}`;
    fail("busy", {
      happened: `${application.title} is busy: ${doing} (${application.operationId}) is not finished.`,
      unchanged: "Nothing was changed by this request.",
      remedy: "Wait until it has ended, or cancel it.",
      applicationId: application.id,
      operationId: application.operationId,
    });
  }

  get(id: OperationId): OperationRecord {
    const record = this.#active.get(id)?.record ?? this.#catalog.operations.get(id);
    return record ?? fail("no-such-operation", { happened: `There is no operation ${id}.` });
  }

  list(application: string | null, activeOnly: boolean, limit: number): OperationRecord[] {
    if (activeOnly) {
      return [...this.#active.values()]
        .map((active) => active.record)
        .filter((record) => application === null || record.applicationId === application)
        .reverse()
        .slice(0, limit);
    }
    return this.#catalog.operations
      .list(application, limit)
      .map((record) => this.#active.get(record.id)?.record ?? record);
  }

  /** Resolves with the record when the operation has ended, or as it is when the time is up. */
  async wait(id: OperationId, timeoutMs: number): Promise<OperationRecord> {
    const active = this.#active.get(id);
    if (active === undefined) {
      return this.get(id);
    }
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, null);
    });
    const ended = await Promise.race([active.ended, timeUp]);
    clearTimeout(timer);
    return ended ?? this.get(id);
  }

  cancel(id: OperationId): OperationRecord {
    const active = this.#active.get(id);
    if (active === undefined) {
      return this.get(id);
    }
    if (!active.record.cancellable) {
      fail("busy", {
        happened: `The ${operationNouns[active.record.kind]} ${id} can't be cancelled (any more).`,
        remedy: "Wait for its end.",
        operationId: id,
        applicationId: active.record.applicationId,
      });
    }
    if (active.record.state === "running") {
      active.record = { ...active.record, state: "cancelling" };
      this.#announce(active);
      active.controller.abort();
    }
    return active.record;
  }

  /** Cancels what can be and waits for the end of everything, within a bound. */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true;
    for (const { record, controller } of this.#active.values()) {
      if (record.cancellable) {
        controller.abort();
      }
    }
    const all = Promise.all([...this.#active.values()].map((active) => active.ended));
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      all,
      new Promise((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      }),
    ]);
    clearTimeout(timer);
  }

  async #run(active: ActiveOperation, request: OperationRequest): Promise<OperationRecord> {
    const { application } = request;
    const startedAt = performance.now();
    try {
      // The caller gets its answer, with the id, before anything can end.
      await Promise.resolve();
      const result = await request.work(this.#job(active));
      active.record = {
        ...active.record,
        state: "succeeded",
        phase: "done",
        result,
        imageId: active.record.imageId ?? result.imageId ?? null,
      };
    } catch (error) {
      const failure =
        active.controller.signal.aborted && !(error instanceof FailureError)
          ? describeFailure("cancelled", {
              happened: `The ${operationNouns[request.kind]} of ${application.title} was cancelled.`,
            })
          : toFailure(error);
      if (failure.code === "internal") {
        this.#log.error(
          { operation: active.record.id, stack: error instanceof Error ? error.stack : undefined },
          "a defect",
        );
      }
      active.record = {
        ...active.record,
        state: failure.code === "cancelled" ? "cancelled" : "failed",
        error: failure,
      };
    }
    active.record = { ...active.record, cancellable: false, endedAt: new Date().toISOString() };
    const { record } = active;
    this.#active.delete(record.id);
    this.#catalog.operations.put(record);
    this.#catalog.audit.add({
      action: record.kind,
      applicationId: application.id,
      imageId: record.imageId,
      outcome: record.error === null ? record.state : `${record.state}: ${record.error.code}`,
    });
    this.#log.info(
      {
        operation: record.id,
        kind: record.kind,
        application: application.id,
        outcome: record.state,
        ...(record.error === null ? {} : { code: record.error.code, error: record.error.message }),
        tookMs: Math.round(performance.now() - startedAt),
      },
      "operation ended",
    );
    if (application.operationId === record.id) {
      application.operationId = null;
      this.#applications.setActivity(application, null);
      this.#applications.forgetIfGone(application);
    }
    clearTimeout(active.eventTimer ?? undefined);
    this.#events.emit("operation.changed", { operation: record });
    return record;
  }

  #job(active: ActiveOperation): Job {
    return {
      id: active.record.id,
      signal: active.controller.signal,
      progress: (phase, doneBytes = null, totalBytes = null) => {
        const newPhase = active.record.phase !== phase;
        active.record = { ...active.record, phase, doneBytes, totalBytes };
        this.#announceSoon(active, newPhase);
      },
      forbidCancel: () => {
        // It was asked to cancel before this point: then it is cancelled, not half done.
        if (active.controller.signal.aborted) {
          throw new FailureError(
            describeFailure("cancelled", {
              happened: `The ${operationNouns[active.record.kind]} of ${active.application.title} was cancelled.`,
            }),
          );
        }
        active.record = { ...active.record, cancellable: false };
        this.#announce(active);
      },
      plan: (plan) => {
        this.#catalog.operations.setPlan(active.record.id, plan);
      },
    };
  }

  #announceSoon(active: ActiveOperation, atOnce: boolean): void {
    const due = active.lastEventAt + EVENT_INTERVAL_MS - performance.now();
    if (atOnce || due <= 0) {
      this.#announce(active);
    } else {
      active.eventTimer ??= setTimeout(() => {
        this.#announce(active);
      }, due);
    }
  }

  #announce(active: ActiveOperation): void {
    clearTimeout(active.eventTimer ?? undefined);
    active.eventTimer = null;
    active.lastEventAt = performance.now();
    if (!hasEnded(active.record)) {
      this.#events.emit("operation.changed", { operation: active.record });
    }
  }
}

function newOperationId(): OperationId {
  return `op-${Date.now().toString(36)}${randomBytes(3).toString("hex")}`;
}
