/**
 * One application as the agent knows it now: what its file says, the life that runs, and what is being
 * done to it. Its state has two layers: where it rests (kept in the catalog), and what is being done
 * with it at the moment, which shows instead for as long as it lasts.
 */
import type {
  ApplicationConfig,
  ApplicationId,
  ApplicationState,
  ConfigProblem,
  ImageId,
  Life,
  Measurement,
  Occurrence,
  OperationId,
  Surface,
} from "../../contract/index.js";
import type { Capsule } from "../capsules/capsule.js";
import type { RememberedApplication } from "../catalog/application-table.js";

export type RestingState = Extract<
  ApplicationState,
  "stopped" | "running" | "hibernated" | "failed"
>;
export type Activity = Exclude<ApplicationState, RestingState>;

export interface RunningLife {
  readonly number: number;
  readonly capsule: Capsule;
  readonly restoredFromImageId: ImageId | null;
  /** Why it was restored; null for a clean start, and where no record of it is left. */
  readonly occurrence: Occurrence | null;
}

/** What a life that is not a clean start was begun from, and why. */
export interface RestoredFrom {
  readonly imageId: ImageId;
  readonly occurrence: Occurrence;
}

export class Application {
  readonly id: ApplicationId;
  file: string;
  /** The last configuration that could be used; null when there never was one. */
  config: ApplicationConfig | null = null;
  problem: ConfigProblem | null = null;
  /** False once its file is gone. */
  configured = false;
  life: RunningLife | null = null;
  activity: Activity | null = null;
  operationId: OperationId | null = null;
  measurement: Measurement | null = null;
  readonly remembered: RememberedApplication;

  constructor(id: ApplicationId, file: string, remembered: RememberedApplication) {
    this.id = id;
    this.file = file;
    this.remembered = remembered;
  }

  get name(): string {
    return this.config?.name ?? this.id;
  }

  /** For messages: the name, and the id where it says more. */
  get title(): string {
    return this.name === this.id ? `"${this.id}"` : `"${this.name}" (${this.id})`;
  }

  get state(): ApplicationState {
    return this.activity ?? this.remembered.state;
  }

  get surface(): Surface {
    if (this.config?.terminal === true) {
      return { kind: "terminal" };
    }
    if (this.config?.display !== undefined) {
      return { kind: "display", ...this.config.display };
    }
    return { kind: "none" };
  }

  /** Where on the timeline the running life stands. */
  get currentImageId(): ImageId | null {
    return this.remembered.currentImageId;
  }

  describeLife(): Life | null {
    if (this.life === null) {
      return null;
    }
    const { file } = this.life.capsule;
    return {
      number: this.life.number,
      capsuleId: file.id,
      initPid: file.initPid,
      rootPid: file.rootPid,
      startedAt: file.startedAt,
      restoredFromImageId: this.life.restoredFromImageId,
      currentImageId: this.remembered.currentImageId,
    };
  }
}
