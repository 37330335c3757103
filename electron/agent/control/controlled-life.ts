/**
 * The life that a control socket belongs to. Its capsule's socket is there before the life is: a program
 * asks for the outcome of its ticket with its first instructions, before the agent has heard from the
 * helper that it runs.
 */
import type { CapsuleId, ImageId, Occurrence } from "../../contract/index.js";
import type { Application } from "../applications/application.js";

export interface ControlledLife {
  readonly application: Application;
  readonly number: number;
  readonly capsuleId: CapsuleId;
  /** Null for a clean start. */
  readonly restored: {
    readonly imageId: ImageId;
    /** Null where no record of it is left. */
    readonly occurrence: Occurrence | null;
    /** When, as `Date.now()` tells the time. */
    readonly at: number;
  } | null;
}
