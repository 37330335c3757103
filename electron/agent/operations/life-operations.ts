/** Starting an application cleanly, stopping it, and what follows when it ends by itself. */
import {
  describeFailure,
  fail,
  FailureError,
  type ExitReport,
  type OperationRecord,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import { formatProblem } from "../applications/application-file.js";
import { Capsule, capsuleIdOf } from "../capsules/capsule.js";
import { environmentInput, runArguments } from "../helper/helper-arguments.js";
import { explain } from "./explain.js";
import type { Job } from "./operations.js";
import type { Services } from "./services.js";

/** From the helper's call to the program's exec; generous for a machine that is just starting. */
const RUN_TIMEOUT_MS = 60_000;
/**
 * What makes runtimes stay with interfaces whose state can be captured; an application's own file has
 * the last word. libuv 1.45 to 1.49 (Node 20 and 22) use io_uring rings unless told not to; newer ones try
 * whatever they are told, and do without where the capsule refuses them: all do, unless this is "1".
 */
const CAPTURABLE_ENVIRONMENT = { UV_USE_IO_URING: "0" } as const;
/** An interactive shell ignores SIGTERM, by custom: a terminal ends its shell by hanging up. */
const HANG_UP_AFTER_MS = 1000;
/** How long a killed capsule may take to vanish: the kernel frees its memory in that time. */
export const KILL_TIMEOUT_MS = 15_000;

export class LifeOperations {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  start(application: Application): OperationRecord {
    this.#services.operations.requireIdle(application);
    requireNotRunning(application);
    if (application.problem !== null || application.config === null) {
      fail("failed-to-load", {
        happened: `${application.title} can't be started: its file has an error. ${
          application.problem === null ? "" : `${formatProblem(application.problem)}.`
        }`,
        unchanged: "It is as it was.",
        remedy: "Correct the file; it is read again by itself.",
        applicationId: application.id,
        key: application.problem?.key ?? undefined,
      });
    }
    return this.#services.operations.start({
      kind: "start",
      application,
      imageId: null,
      activity: "starting",
      cancellable: true,
      work: (job) => this.#start(application, job),
    });
  }

  async #start(
    application: Application,
    job: Job,
  ): Promise<{ rootPid: number; durationMs: number; notes: string[] }> {
    const { applications, control, helper, capsulesFolder } = this.#services;
    const config = application.config;
    if (config === null) {
      throw new Error("started without a configuration");
    }
    const startedAt = performance.now();
    const life = applications.allocateLife(application);
    const capsuleId = capsuleIdOf(application.id, life);
    job.plan({ capsuleId });
    job.progress("start");
    await control.open({ application, number: life, capsuleId, restored: null });
    try {
      await helper.call({
        command: "run",
        args: runArguments({
          capsuleId,
          surface: application.surface,
          user: config.user ?? null,
          cwd: config.cwd ?? null,
          command: config.command,
        }),
        input: environmentInput({ ...CAPTURABLE_ENVIRONMENT, ...config.env }),
        signal: job.signal,
        timeoutMs: RUN_TIMEOUT_MS,
      });
    } catch (error) {
      control.discard(capsuleId);
      const failure = explain(error, {
        happened: `Starting ${application.title} failed`,
        unchanged: `It does not run${application.remembered.state === "hibernated" ? "; it is still hibernated" : ""}, and its images are untouched.`,
        about: { applicationId: application.id },
      });
      if (failure.code !== "cancelled" && application.remembered.state !== "hibernated") {
        applications.rest(
          application,
          "failed",
          failure.failure.detail?.happened ?? failure.message,
        );
      }
      throw failure;
    }
    const capsule = requireCapsule(capsulesFolder, capsuleId, application);
    applications.enterLife(application, life, capsule, null);
    this.watch(application, capsule);
    return {
      rootPid: capsule.file.rootPid,
      durationMs: performance.now() - startedAt,
      notes: capsule.file.notes ?? [],
    };
  }

  stop(application: Application, graceMs: number | undefined): OperationRecord {
    this.#services.operations.requireIdle(application);
    if (application.life === null && application.remembered.state === "stopped") {
      fail("not-running", {
        happened: `${application.title} does not run.`,
        unchanged: "Nothing was changed.",
        applicationId: application.id,
      });
    }
    return this.#services.operations.start({
      kind: "stop",
      application,
      imageId: null,
      activity: "stopping",
      cancellable: false,
      work: async (job) => {
        const startedAt = performance.now();
        job.progress("stop");
        await this.#stop(application, graceMs ?? application.config?.["stop-grace"] ?? 10_000);
        return { durationMs: performance.now() - startedAt, notes: [] };
      },
    });
  }

  async #stop(application: Application, graceMs: number): Promise<void> {
    const { applications, lifeWatch, terminals } = this.#services;
    const life = application.life;
    if (life === null) {
      // Hibernated or failed: no process to end, only the state to put down.
      applications.endLife(application, { state: "stopped", reason: null, exit: null, held: true });
      return;
    }
    const { capsule } = life;
    lifeWatch.forget(capsule);
    try {
      capsule.signal("SIGTERM");
      const patience = Math.min(HANG_UP_AFTER_MS, graceMs);
      let ended = await capsule.waitForEnd(patience);
      if (!ended && capsule.file.tty === true) {
        capsule.hangUp();
      }
      ended ||= await capsule.waitForEnd(graceMs - patience);
      if (!ended) {
        await this.#kill(application, capsule);
      }
    } catch (error) {
      this.watch(application, capsule);
      throw error;
    }
    this.#services.control.close(capsule.id);
    capsule.remove();
    applications.endLife(application, { state: "stopped", reason: null, exit: null, held: true });
    terminals.closeAll(application.id, "stopped", `${application.name} was stopped.`, null);
  }

  async #kill(application: Application, capsule: Capsule): Promise<void> {
    capsule.signal("SIGKILL");
    if (!(await capsule.waitForEnd(KILL_TIMEOUT_MS))) {
      throw new FailureError(
        describeFailure("resource", {
          happened: `${application.title} was killed and has not ended ${KILL_TIMEOUT_MS / 1000} s later.`,
          unchanged: "Its images are untouched.",
          remedy:
            "A process of it probably waits for a disk or a network file system that does not answer: check those.",
          applicationId: application.id,
        }),
      );
    }
  }

  /** From now on, the end of this capsule is the end of the application. */
  watch(application: Application, capsule: Capsule): void {
    this.#services.lifeWatch.add(capsule, () => {
      this.#endedByItself(application, capsule);
    });
  }

  #endedByItself(application: Application, capsule: Capsule): void {
    if (application.life?.capsule.id !== capsule.id) {
      return;
    }
    const { applications, terminals, notices } = this.#services;
    const exit = capsule.readExit();
    this.#services.control.close(capsule.id);
    const { state, reason } = judgeExit(exit);
    capsule.remove();
    const supervised = application.config?.recovery !== undefined;
    applications.endLife(application, { state, reason, exit, held: false });
    terminals.closeAll(application.id, "ended", `${application.name} ${reason}.`, exit);
    // Who brings it back says so, and how.
    if (state === "failed" && !supervised) {
      notices.add(
        "error",
        application.id,
        `${application.title} ${reason}. Start it, or restore one of its images.`,
      );
    }
  }
}

/** What an exit means: an application that returned 0 wanted to end, every other one failed. */
export function judgeExit(exit: ExitReport | null): {
  state: "stopped" | "failed";
  reason: string;
} {
  if (exit === null) {
    return {
      state: "failed",
      reason: "was killed from outside: its capsule ended without a report",
    };
  }
  if (exit.signal !== null) {
    return {
      state: "failed",
      reason: `was ended by ${exit.signalName ?? `signal ${exit.signal}`}`,
    };
  }
  return exit.exitStatus === 0
    ? { state: "stopped", reason: "ended by itself with exit status 0" }
    : { state: "failed", reason: `ended with exit status ${exit.exitStatus ?? "unknown"}` };
}

export function requireNotRunning(application: Application): void {
  if (application.life !== null) {
    fail("already-running", {
      happened: `${application.title} runs already.`,
      unchanged: "Nothing was changed.",
      remedy: "To put it to an earlier point, restore an image.",
      applicationId: application.id,
    });
  }
}

/** The capsule that the helper has just reported. */
export function requireCapsule(
  capsulesFolder: string,
  id: string,
  application: Application,
): Capsule {
  const capsule = Capsule.read(capsulesFolder, id);
  if (capsule !== null) {
    return capsule;
  }
  return fail("start-failed", {
    happened: `The capsule ${id} of ${application.title} was reported as running, but its capsule.json can't be read.`,
    remedy: "Look into the agent's log; the program probably ended at once.",
    applicationId: application.id,
  });
}
