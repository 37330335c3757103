/**
 * What becomes of the applications when the agent starts: those that ran and don't any more, and those
 * that are marked, are brought back in the order of their priority, several at once. What an operator
 * stopped or hibernated since the machine was started stays so: an agent that is restarted must not undo
 * that.
 */
import type { ApplicationId, RecoveredOccurrence } from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import { currentBootId } from "../capsules/process-identity.js";
import type { Session } from "../catalog/session-table.js";
import type { LifeOperations } from "../operations/life-operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";
import type { EndedAway } from "./rediscover.js";
import type { Recovery } from "./recovery.js";
import type { Selection } from "./selection.js";

const WAIT_MS = 60_000;

/** What kind of start this is: told by how the last session ended, and on which boot. */
export function startOccurrence(last: Session | null, bootId: string): RecoveredOccurrence {
  if (last === null || last.clean) {
    return "start-up";
  }
  return last.bootId === bootId ? "agent-failure" : "power-loss";
}

const happenedAt: Readonly<Record<RecoveredOccurrence, string>> = {
  crash: "had crashed",
  hang: "had hung",
  "start-up": "did not run when the agent started",
  "power-loss": "ended with the machine, which was not shut down in order",
  "agent-failure": "ended together with the agent, which had not ended in order",
};

export class StartUp {
  readonly #services: Services;
  readonly #lives: LifeOperations;
  readonly #restores: RestoreOperations;
  readonly #recovery: Recovery;
  readonly #atOnce: number;

  constructor(
    services: Services,
    lives: LifeOperations,
    restores: RestoreOperations,
    recovery: Recovery,
    atOnce: number,
  ) {
    this.#services = services;
    this.#lives = lives;
    this.#restores = restores;
    this.#recovery = recovery;
    this.#atOnce = atOnce;
  }

  /**
   * @param kind what the agent's start is
   * @param ended applications that ended while no agent was there
   */
  async run(
    kind: RecoveredOccurrence,
    ended: ReadonlyMap<ApplicationId, EndedAway>,
  ): Promise<void> {
    const interrupted = this.#closeInterrupted();
    const queue = this.#services.applications.list().sort((a, b) => priorityOf(b) - priorityOf(a));
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await this.#bringBack(next, kind, ended.get(next.id), interrupted.get(next.id));
      }
    };
    await Promise.all(Array.from({ length: this.#atOnce }, worker));
  }

  /** Occurrences that an earlier agent was in the middle of, by application. */
  #closeInterrupted(): Map<ApplicationId, RecoveredOccurrence> {
    const { catalog } = this.#services;
    const found = new Map<ApplicationId, RecoveredOccurrence>();
    for (const record of catalog.occurrences.unfinished()) {
      if (record.kind !== "operator" && record.kind !== "application") {
        found.set(record.applicationId, record.kind);
      }
      catalog.occurrences.put({
        ...record,
        state: "superseded",
        outcome: "the agent ended in the middle of it",
        endedAt: new Date().toISOString(),
      });
    }
    return found;
  }

  async #bringBack(
    application: Application,
    kind: RecoveredOccurrence,
    ended: EndedAway | undefined,
    interrupted: RecoveredOccurrence | undefined,
  ): Promise<void> {
    const { config, life, remembered } = application;
    if (
      config === null ||
      life !== null ||
      remembered.heldInBoot === currentBootId() ||
      this.#recovery.isPending(application)
    ) {
      return;
    }
    try {
      const hibernated = this.#hibernation(application);
      if (config.recovery === undefined) {
        await this.#withoutRules(application, kind, hibernated);
        return;
      }
      const marked = config.recovery["at-start"];
      const again = ended !== undefined || interrupted !== undefined || this.#isOwed(application);
      const wanted =
        marked === "nothing"
          ? false
          : marked !== undefined ||
            config.start === "auto" ||
            again ||
            hibernated?.atShutdown === true;
      if (!wanted || this.#recovery.isGivenUp(application)) {
        return;
      }
      const what = ended?.kind ?? interrupted ?? kind;
      const happening = {
        kind: what,
        happened: ended?.happened ?? happenedAt[what],
        exit: ended?.exit ?? null,
        endedLife: ended?.life ?? null,
      };
      this.#recovery.occur(
        application,
        happening,
        hibernated?.selection ?? (marked === "start" && !again ? cleanStart() : undefined),
      );
      await this.#recovery.settled(application);
    } catch (error) {
      this.#tell(application, error instanceof Error ? error.message : String(error));
    }
  }

  /** An earlier agent was ended after it had noticed the failure and before it did anything about it. */
  #isOwed({ config, remembered }: Application): boolean {
    return (
      remembered.state === "failed" ||
      (config?.recovery?.["on-exit"] === "recover" && remembered.lastExit?.exitStatus === 0)
    );
  }

  /** No [recovery]: what is marked start = "auto", and what was hibernated for the shutdown. */
  async #withoutRules(
    application: Application,
    kind: RecoveredOccurrence,
    hibernated: { atShutdown: boolean } | null,
  ): Promise<void> {
    const { config, problem } = application;
    const wake = hibernated !== null && (config?.start === "auto" || hibernated.atShutdown);
    if (problem !== null || (config?.start !== "auto" && !wake)) {
      return;
    }
    const begun = wake
      ? this.#restores.wake(application, null, kind)
      : this.#lives.start(application);
    const done = await this.#services.operations.wait(begun.id, WAIT_MS);
    if (done.error !== null) {
      this.#tell(application, done.error.message);
    }
  }

  /** What a hibernated application wakes from, if it is there. */
  #hibernation(application: Application): { atShutdown: boolean; selection: Selection } | null {
    const { remembered } = application;
    const image =
      remembered.state === "hibernated" && remembered.hibernatedImageId !== null
        ? this.#services.catalog.images.get(remembered.hibernatedImageId)
        : null;
    if (image?.state !== "ok") {
      return null;
    }
    return {
      atShutdown: image.trigger === "shutdown",
      selection: {
        rule: null,
        decision: {
          action: "restore",
          imageId: image.id,
          rule: null,
          reason: "it is the image that it was hibernated to",
          passedOver: [],
          delayMs: 0,
        },
      },
    };
  }

  #tell(application: Application, message: string): void {
    this.#services.log.warn(
      { application: application.id },
      "an application could not be started by itself",
    );
    this.#services.notices.add("error", application.id, message);
  }
}

function cleanStart(): Selection {
  return {
    rule: null,
    decision: {
      action: "start",
      imageId: null,
      rule: null,
      reason: 'its file says at-start = "start"',
      passedOver: [],
      delayMs: 0,
    },
  };
}

function priorityOf(application: Application): number {
  return application.config?.recovery?.priority ?? 0;
}
