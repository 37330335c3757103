/**
 * Keeps the sizes of running trees up to date, for the applications that somebody looks at and only for
 * as long as they do. The two memory sizes come from /proc every two seconds; the system state, which
 * hardly changes, from one `inspect` per life and from every capture.
 */
import type { ApplicationId, Measurement } from "../../contract/index.js";
import type { AgentEvents } from "../agent-events.js";
import type { Application } from "../applications/application.js";
import type { Applications } from "../applications/applications.js";
import type { Helper } from "../helper/helper.js";
import { inspectArguments } from "../helper/helper-arguments.js";
import type { Logger } from "../log.js";
import { measureTree } from "./measure.js";

const INTERVAL_MS = 2000;
const INSPECT_TIMEOUT_MS = 10_000;

interface KnownSystemState {
  readonly life: number;
  bytes: number | null;
}

export class Measurer {
  readonly #applications: Applications;
  readonly #helper: Helper;
  readonly #events: AgentEvents;
  readonly #log: Logger;
  readonly #watchedBy = new Map<object, ReadonlySet<ApplicationId>>();
  readonly #systemState = new Map<ApplicationId, KnownSystemState>();
  #timer: NodeJS.Timeout | null = null;
  #measuring = false;

  constructor(applications: Applications, helper: Helper, events: AgentEvents, log: Logger) {
    this.#applications = applications;
    this.#helper = helper;
    this.#events = events;
    this.#log = log;
  }

  /** What one watcher looks at from now on; an empty set when it looks away. */
  setWatched(watcher: object, ids: ReadonlySet<ApplicationId>): void {
    if (ids.size === 0) {
      this.#watchedBy.delete(watcher);
    } else {
      this.#watchedBy.set(watcher, ids);
    }
    if (this.#watchedBy.size === 0) {
      clearInterval(this.#timer ?? undefined);
      this.#timer = null;
      return;
    }
    this.#timer ??= setInterval(() => void this.#measureAll(), INTERVAL_MS);
    void this.#measureAll();
  }

  stop(): void {
    clearInterval(this.#timer ?? undefined);
    this.#timer = null;
    this.#watchedBy.clear();
  }

  /** A capture has counted it exactly. */
  rememberSystemState(id: ApplicationId, bytes: number): void {
    const life = this.#applications.find(id)?.life?.number;
    if (life !== undefined) {
      this.#systemState.set(id, { life, bytes });
    }
  }

  async #measureAll(): Promise<void> {
    // A large tree may take longer than the interval.
    if (this.#measuring) {
      return;
    }
    this.#measuring = true;
    try {
      const ids = new Set([...this.#watchedBy.values()].flatMap((set) => [...set]));
      for (const id of ids) {
        const application = this.#applications.find(id);
        if (application !== null) {
          await this.#measure(application);
        }
      }
    } catch (error) {
      this.#log.warn({ error: String(error) }, "measuring failed");
    } finally {
      this.#measuring = false;
    }
  }

  async #measure(application: Application): Promise<void> {
    const life = application.life;
    if (life === null) {
      return;
    }
    const memory = await measureTree(life.capsule);
    const systemStateBytes = await this.#systemStateOf(application, life.number, life.capsule.id);
    if (application.life !== life || memory.processes === 0) {
      return;
    }
    const measurement: Measurement = {
      sizes: {
        systemStateBytes,
        physicalBytes: memory.physicalBytes,
        virtualBytes: memory.virtualBytes,
      },
      processes: memory.processes,
      measuredAt: new Date().toISOString(),
    };
    application.measurement = measurement;
    this.#events.emit("application.measured", { applicationId: application.id, measurement });
  }

  async #systemStateOf(application: Application, life: number, capsuleId: string): Promise<number> {
    const known = this.#systemState.get(application.id);
    if (known?.life === life) {
      return known.bytes ?? 0;
    }
    // An operation needs the tree for itself; there is time after it.
    if (application.operationId !== null) {
      return 0;
    }
    const entry: KnownSystemState = { life, bytes: null };
    this.#systemState.set(application.id, entry);
    try {
      const result = await this.#helper.call({
        command: "inspect",
        args: inspectArguments({ capsuleId }),
        timeoutMs: INSPECT_TIMEOUT_MS,
      });
      entry.bytes = result.sizes.systemStateBytes;
    } catch (error) {
      this.#log.debug(
        { application: application.id, error: String(error) },
        "inspecting for sizes failed",
      );
    }
    return entry.bytes ?? 0;
  }
}
