/** An application asks for a boot image of itself, and is told in which life it goes on. */
export { Torpor, isAvailable, type CheckpointOptions, type TorporOptions } from "./torpor.js";
export { AgentUnreachableError, RequestRefusedError } from "./errors.js";
export type {
  BeforeCapture,
  Captured,
  Outcome,
  OwnImage,
  Restoration,
  Status,
} from "./messages.js";
