/**
 * All applications: those with a file, those that run though their file is gone, and those that only
 * images are left of. Every change of one goes through here, so that the catalog and the listeners
 * always hear of it.
 */
import { join } from "node:path";
import {
  fail,
  type ApplicationId,
  type ApplicationRecord,
  type ExitReport,
  type ImageId,
} from "../../contract/index.js";
import type { AgentEvents } from "../agent-events.js";
import type { Capsule } from "../capsules/capsule.js";
import { currentBootId } from "../capsules/process-identity.js";
import type { RememberedApplication } from "../catalog/application-table.js";
import type { Catalog } from "../catalog/catalog.js";
import {
  Application,
  type Activity,
  type RestingState,
  type RestoredFrom,
  type RunningLife,
} from "./application.js";
import { fileProblem, formatProblem } from "./application-file.js";
import type { ConfiguredApplication } from "./applications-folder.js";

/** How a life ended, or a rest began. */
export interface LifeEnd {
  readonly state: Exclude<RestingState, "running">;
  readonly reason: string | null;
  readonly exit: ExitReport | null;
  readonly hibernatedImageId?: ImageId;
  /** An operator wanted it so: it is not started by itself before the machine's next start. */
  readonly held: boolean;
}

/** Hears of every life, at once: before anybody outside does. */
export interface LifeListener {
  /** Started or restored just now, or `found`: it ran before this agent did. */
  began(application: Application, found: boolean): void;
  /** `life` is null where the end of one is only known from what it left. */
  ended(application: Application, life: RunningLife | null, end: LifeEnd): void;
}

export class Applications {
  readonly #catalog: Catalog;
  readonly #events: AgentEvents;
  readonly #folder: string;
  readonly #lifeListeners: LifeListener[] = [];
  readonly #byId = new Map<ApplicationId, Application>();

  constructor(catalog: Catalog, events: AgentEvents, folder: string) {
    this.#catalog = catalog;
    this.#events = events;
    this.#folder = folder;
    for (const remembered of catalog.applications.list()) {
      this.#add(remembered);
    }
    for (const id of catalog.images.applicationIds()) {
      this.obtain(id);
    }
  }

  onLife(listener: LifeListener): void {
    this.#lifeListeners.push(listener);
  }

  list(): Application[] {
    return [...this.#byId.values()].sort(
      (a, b) => (a.config?.order ?? 0) - (b.config?.order ?? 0) || a.name.localeCompare(b.name),
    );
  }

  find(id: ApplicationId): Application | null {
    return this.#byId.get(id) ?? null;
  }

  /** @throws FailureError with code `no-such-application`. */
  require(id: ApplicationId): Application {
    const application = this.#byId.get(id);
    if (application !== undefined) {
      return application;
    }
    const known = this.list().map((each) => each.id);
    return fail("no-such-application", {
      happened: `There is no application "${id}".`,
      remedy:
        known.length === 0
          ? `Put a file ${id}.toml into ${this.#folder}.`
          : `Known are: ${known.slice(0, 20).join(", ")}${known.length > 20 ? ", …" : ""}.`,
    });
  }

  /** The application, made known if it was not: images or a capsule of it have been found. */
  obtain(id: ApplicationId): Application {
    return (
      this.#byId.get(id) ??
      this.#add({
        id,
        lastLife: 0,
        currentLife: null,
        currentImageId: null,
        currentOccurrence: null,
        hibernatedImageId: null,
        state: "stopped",
        stateReason: null,
        stateSince: new Date().toISOString(),
        lastExit: null,
        heldInBoot: null,
      })
    );
  }

  #add(remembered: RememberedApplication): Application {
    const file = join(this.#folder, `${remembered.id}.toml`);
    const application = new Application(remembered.id, file, remembered);
    application.problem = fileProblem(file, "is not there");
    this.#byId.set(remembered.id, application);
    return application;
  }

  /** Its file is new or was changed. What runs, runs on; the change counts from the next start. */
  configure(configured: ConfiguredApplication): void {
    const application = this.obtain(configured.id);
    application.file = configured.file;
    application.configured = true;
    application.problem = configured.problem;
    application.config = configured.config ?? application.config;
    this.changed(application);
  }

  /** Its file is gone. It stays for as long as it runs or has images. */
  unconfigure(id: ApplicationId): void {
    const application = this.#byId.get(id);
    if (application === undefined) {
      return;
    }
    application.configured = false;
    application.problem = fileProblem(application.file, "is not there any more");
    this.changed(application);
    this.forgetIfGone(application);
  }

  forgetIfGone(application: Application): void {
    if (
      application.configured ||
      application.life !== null ||
      application.operationId !== null ||
      this.#catalog.images.countOf(application.id) > 0
    ) {
      return;
    }
    this.#byId.delete(application.id);
    this.#catalog.applications.delete(application.id);
    this.#events.emit("application.removed", { applicationId: application.id });
  }

  record(application: Application): ApplicationRecord {
    const { remembered } = application;
    const failedToLoad = application.problem !== null && application.config === null;
    const state =
      application.life === null &&
      application.activity === null &&
      application.problem !== null &&
      remembered.state === "stopped"
        ? "failed"
        : application.state;
    return {
      id: application.id,
      name: application.name,
      order: application.config?.order ?? 0,
      file: application.file,
      state,
      stateReason:
        state === "failed" &&
        (failedToLoad || remembered.state === "stopped") &&
        application.problem !== null
          ? `failed to load: ${formatProblem(application.problem)}`
          : remembered.stateReason,
      stateSince: remembered.stateSince,
      configProblem: application.problem,
      surface: application.surface,
      command: application.config?.command ?? [],
      cwd: application.config?.cwd ?? null,
      user: application.config?.user ?? null,
      start: application.config?.start ?? "manual",
      life: application.describeLife(),
      lastExit: remembered.lastExit,
      measurement: application.life === null ? null : application.measurement,
      operationId: application.operationId,
      hibernatedImageId: remembered.hibernatedImageId,
      imageCount: this.#catalog.images.countOf(application.id),
      newestImageId: this.#catalog.images.newestIdOf(application.id),
    };
  }

  /** Tells the listeners; for a change that is not of the remembered kind. */
  changed(application: Application): void {
    if (this.#byId.get(application.id) === application) {
      this.#events.emit("application.changed", { application: this.record(application) });
    }
  }

  setActivity(application: Application, activity: Activity | null): void {
    application.activity = activity;
    this.changed(application);
  }

  /** A number for a new life, durable before it is used. */
  allocateLife(application: Application): number {
    application.remembered.lastLife += 1;
    this.#catalog.applications.put(application.remembered);
    return application.remembered.lastLife;
  }

  /** The application lives in this capsule from now on. */
  enterLife(
    application: Application,
    life: number,
    capsule: Capsule,
    restored: RestoredFrom | null,
  ): void {
    application.life = {
      number: life,
      capsule,
      restoredFromImageId: restored?.imageId ?? null,
      occurrence: restored?.occurrence ?? null,
    };
    application.measurement = null;
    const { remembered } = application;
    remembered.currentLife = life;
    remembered.lastLife = Math.max(remembered.lastLife, life);
    remembered.currentImageId = restored?.imageId ?? null;
    remembered.currentOccurrence = restored?.occurrence ?? null;
    remembered.hibernatedImageId = null;
    remembered.lastExit = null;
    remembered.heldInBoot = null;
    this.#rest(application, "running", null);
    this.#tellBegan(application, false);
  }

  /** A life that was found running when the agent started; where it stands is remembered. */
  adoptLife(application: Application, life: number, capsule: Capsule): void {
    const { remembered } = application;
    const known = remembered.currentLife === life;
    const restoredFromImageId = capsule.file.restoredFrom ?? null;
    application.life = {
      number: life,
      capsule,
      restoredFromImageId,
      occurrence: known ? remembered.currentOccurrence : null,
    };
    remembered.currentLife = life;
    remembered.lastLife = Math.max(remembered.lastLife, life);
    if (!known) {
      remembered.currentImageId = restoredFromImageId;
      remembered.currentOccurrence = null;
    }
    remembered.hibernatedImageId = null;
    if (remembered.state === "running") {
      this.#catalog.applications.put(remembered);
    } else {
      this.#rest(application, "running", null);
    }
    this.#tellBegan(application, true);
  }

  #tellBegan(application: Application, found: boolean): void {
    for (const listener of this.#lifeListeners) {
      listener.began(application, found);
    }
  }

  /** A new image of the running life: the next one comes after it. */
  advance(application: Application, imageId: ImageId): void {
    application.remembered.currentImageId = imageId;
    this.#catalog.applications.put(application.remembered);
    this.changed(application);
  }

  endLife(application: Application, end: LifeEnd): void {
    const { life } = application;
    application.life = null;
    application.measurement = null;
    const { remembered } = application;
    remembered.currentLife = null;
    remembered.lastExit = end.exit;
    remembered.hibernatedImageId = end.hibernatedImageId ?? null;
    remembered.heldInBoot = end.held ? currentBootId() : null;
    this.#rest(application, end.state, end.reason);
    for (const listener of this.#lifeListeners) {
      listener.ended(application, life, end);
    }
    this.forgetIfGone(application);
  }

  /** For an application that doesn't run. */
  rest(
    application: Application,
    state: Exclude<RestingState, "running">,
    reason: string | null,
  ): void {
    if (state !== "hibernated") {
      application.remembered.hibernatedImageId = null;
    }
    this.#rest(application, state, reason);
  }

  #rest(application: Application, state: RestingState, reason: string | null): void {
    const { remembered } = application;
    remembered.state = state;
    remembered.stateReason = reason;
    remembered.stateSince = new Date().toISOString();
    this.#catalog.applications.put(remembered);
    this.changed(application);
  }
}
