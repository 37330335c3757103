/**
 * Checkpoints that applications ask for: one image at a time and application, in the order of asking, and
 * an answer for every ticket, also in a later life and also after the agent was away.
 */
import {
  CHECKPOINT_WAIT_MS,
  describeFailure,
  fail,
  FailureError,
  hasEnded,
  MAX_WAITING_CHECKPOINTS,
  toFailure,
  type CheckpointOutcome,
  type ControlParams,
  type Failure,
  type OperationRecord,
  type Restoration,
  type Ticket,
} from "../../contract/index.js";
import type { FailedTicket } from "../catalog/ticket-table.js";
import type { CaptureOperations } from "../operations/capture.js";
import type { Services } from "../operations/services.js";
import type { StoreScan } from "../recovery/scan-stores.js";
import type { ControlledLife } from "./controlled-life.js";
import type { TicketEntry } from "./ticket-book.js";

const STEP_MS = 30_000;

export class Checkpoints {
  readonly #services: Services;
  readonly #captures: CaptureOperations;
  readonly #scan: StoreScan;
  /** The end of each application's line. */
  readonly #lines = new Map<string, Promise<void>>();
  /** By life: the search for its image in the stores. */
  readonly #searches = new Map<string, Promise<unknown>>();

  /** By application: the failure that operators were told last, so that a loop of requests tells it once. */
  readonly #told = new Map<string, string>();

  constructor(services: Services, captures: CaptureOperations, scan: StoreScan) {
    this.#services = services;
    this.#captures = captures;
    this.#scan = scan;
  }

  /** Answers when the image is durable (or won't come), or with `pending` at once where nobody waits. */
  async request(
    life: ControlledLife,
    params: ControlParams<"checkpoint">,
  ): Promise<CheckpointOutcome> {
    const { tickets } = this.#services;
    const { application } = life;
    await this.#findImage(life);
    // From here to the entry nothing is awaited: two requests can't both find the ticket unknown.
    const known = this.#outcome(life, params.ticket);
    if (known.outcome !== "unknown") {
      const entry = tickets.find(application.id, params.ticket);
      return known.outcome === "pending" && params.wait !== false && entry !== null
        ? entry.settled
        : known;
    }
    if (tickets.open(application.id).length >= MAX_WAITING_CHECKPOINTS) {
      fail("too-many", {
        happened: `${MAX_WAITING_CHECKPOINTS} checkpoints of ${application.title} wait for their turn already.`,
        unchanged: "This one was not entered; the application runs on.",
        remedy: "Wait for their outcomes, and ask less often.",
        applicationId: application.id,
      });
    }
    const entry = tickets.begin(application.id, params.ticket, life.capsuleId);
    const previous = this.#lines.get(application.id) ?? Promise.resolve();
    const turn = previous.then(() => this.#take(life, params, entry));
    this.#lines.set(application.id, turn);
    return params.wait === false ? { outcome: "pending" } : entry.settled;
  }

  async outcome(life: ControlledLife, ticket: Ticket): Promise<CheckpointOutcome> {
    await this.#findImage(life);
    return this.#outcome(life, ticket);
  }

  #outcome(life: ControlledLife, ticket: Ticket): CheckpointOutcome {
    const { catalog, tickets } = this.#services;
    const restoration = this.#restoration(life);
    if (restoration !== null && catalog.tickets.isOf(restoration.imageId, ticket)) {
      return { outcome: "restored", ...restoration };
    }
    const entry =
      tickets.find(life.application.id, ticket) ??
      catalog.tickets.failed(life.application.id, ticket);
    if (entry !== null) {
      return restoration !== null && this.#wasUnderWay(life, entry, restoration)
        ? { outcome: "restored", ...restoration }
        : (entry.outcome ?? { outcome: "pending" });
    }
    const imageId = catalog.tickets.imageAskedFor(life.application.id, ticket);
    const image = imageId === null ? null : catalog.images.get(imageId);
    return image === null
      ? { outcome: "unknown" }
      : { outcome: "saved", imageId: image.id, pauseMs: image.pauseMs };
  }

  /**
   * A request that reached the agent after the capture had begun is in the image as sent and not
   * answered, and the image knows nothing of it: an earlier life asked, and had no answer by then.
   */
  #wasUnderWay(
    life: ControlledLife,
    entry: Pick<TicketEntry, "capsuleId" | "endedAt">,
    restoration: Restoration,
  ): boolean {
    if (entry.capsuleId === life.capsuleId || life.restored === null) {
      return false;
    }
    const takenAt = life.restored.at - restoration.elapsedMs;
    return entry.endedAt === null || entry.endedAt > takenAt;
  }

  /** How this life was begun; null for a clean start. */
  async restoration(life: ControlledLife): Promise<Restoration | null> {
    await this.#findImage(life);
    return this.#restoration(life);
  }

  /** A catalog that was lost is being made anew from the images; whoever asks meanwhile waits. */
  async #findImage({ restored, capsuleId }: ControlledLife): Promise<void> {
    if (restored !== null && this.#services.catalog.images.get(restored.imageId) === null) {
      // It may be deleted by now: looking once is enough.
      const search = this.#searches.get(capsuleId) ?? this.#scan.run();
      this.#searches.set(capsuleId, search);
      await search;
    }
  }

  #restoration(life: ControlledLife): Restoration | null {
    if (life.restored === null) {
      return null;
    }
    const { imageId, occurrence, at } = life.restored;
    const image = this.#services.catalog.images.get(imageId);
    const takenAt = image === null ? at : Date.parse(image.createdAt);
    return { imageId, occurrence, elapsedMs: Math.max(0, at - takenAt) };
  }

  /** Never throws: whatever happens is the ticket's outcome. */
  async #take(
    life: ControlledLife,
    params: ControlParams<"checkpoint">,
    entry: TicketEntry,
  ): Promise<void> {
    try {
      const record = await this.#capture(life, params);
      if (record.error !== null) {
        throw new FailureError(record.error);
      }
      const { imageId, pauseMs } = record.result ?? {};
      if (imageId === undefined) {
        throw new Error("a capture without an image");
      }
      this.#told.delete(life.application.id);
      entry.settle({ outcome: "saved", imageId, pauseMs: pauseMs ?? null });
    } catch (error) {
      const { code, message } = toFailure(error);
      const outcome = { outcome: "failed", code, message } as const;
      this.#remember(life, entry, outcome);
      this.#tell(life, outcome);
      entry.settle(outcome);
    }
  }

  /** Whoever looks after the machine wants to know as well that no images come any more. */
  #tell({ application }: ControlledLife, { code, message }: FailedTicket["outcome"]): void {
    const { notices, operations } = this.#services;
    // These are somebody's wish, or the end of the life that asked; a bound that was passed has its own notice.
    const quiet = ["cancelled", "not-running", "inhibited"].includes(code);
    const told = code === "no-room" && message.includes("may take");
    if (quiet || told || operations.isClosing || this.#told.get(application.id) === code) {
      return;
    }
    this.#told.set(application.id, code);
    notices.add(
      "error",
      application.id,
      `${application.title} asked for an image and got none. ${message}`,
    );
  }

  /** For the next agent; before the application is told. */
  #remember(
    { application, capsuleId }: ControlledLife,
    { ticket }: TicketEntry,
    outcome: FailedTicket["outcome"],
  ): void {
    const { catalog, log, operations } = this.#services;
    if (operations.isClosing) {
      // It failed because this agent ends: to the next one it is unknown, and is asked for again.
      return;
    }
    try {
      catalog.tickets.putFailed(application.id, ticket, {
        capsuleId,
        endedAt: Date.now(),
        outcome,
      });
    } catch (error) {
      log.error(
        { application: application.id, ticket, error: String(error) },
        "a checkpoint's failure could not be written down",
      );
    }
  }

  async #capture(
    life: ControlledLife,
    params: ControlParams<"checkpoint">,
  ): Promise<OperationRecord> {
    const { operations, signals } = this.#services;
    const { application } = life;
    const deadline = performance.now() + CHECKPOINT_WAIT_MS;
    const left = (): number => Math.max(0, deadline - performance.now());
    for (;;) {
      if (!(await signals.whenAllowed(life.capsuleId, left()))) {
        throw new FailureError(waitedTooLong(life, "a capture is inhibited"));
      }
      const holder = application.operationId;
      if (holder !== null) {
        if (left() === 0) {
          throw new FailureError(waitedTooLong(life, "another operation holds the application"));
        }
        await operations.wait(holder, Math.min(left(), STEP_MS));
        continue;
      }
      if (application.life?.capsule.id !== life.capsuleId) {
        throw new FailureError(
          describeFailure("not-running", {
            happened: `The life of ${application.title} that asked for this checkpoint has ended.`,
            applicationId: application.id,
          }),
        );
      }
      break;
    }
    let record = this.#captures.capture(application, {
      label: params.label === undefined || params.label === "" ? null : params.label,
      compress: null,
      keep: params.keep ?? null,
      hibernate: false,
      trigger: "application",
      ticket: params.ticket,
    });
    while (!hasEnded(record)) {
      record = await operations.wait(record.id, STEP_MS);
    }
    return record;
  }
}

function waitedTooLong({ application }: ControlledLife, reason: string): Failure {
  return describeFailure("busy", {
    happened: `The checkpoint of ${application.title} waited ${CHECKPOINT_WAIT_MS / 60_000} minutes for its turn: ${reason}.`,
    unchanged: "No image was written; the application runs on.",
    applicationId: application.id,
  });
}
