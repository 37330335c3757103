// What the contract's terms are called on screen. States always come with their word: colour alone
// says nothing to one reader in twelve.
import type { ApplicationState } from "../../electron/contract/application.js";
import type { ImageRecord, ImageState, Trigger } from "../../electron/contract/image.js";
import type { OperationKind, OperationPhase } from "../../electron/contract/operation.js";

/** The shape and colour of a state's mark. Several states share one. */
export type StateTone = "running" | "asleep" | "off" | "busy" | "failed";

export const STATE_WORDS: Readonly<Record<ApplicationState, { word: string; tone: StateTone }>> = {
  stopped: { word: "Stopped", tone: "off" },
  starting: { word: "Starting", tone: "busy" },
  running: { word: "Running", tone: "running" },
  capturing: { word: "Capturing", tone: "busy" },
  hibernating: { word: "Hibernating", tone: "busy" },
  hibernated: { word: "Hibernated", tone: "asleep" },
  restoring: { word: "Restoring", tone: "busy" },
  stopping: { word: "Stopping", tone: "busy" },
  failed: { word: "Failed", tone: "failed" },
};

export const TRIGGER_WORDS: Readonly<Record<Trigger, string>> = {
  operator: "Operator",
  hibernate: "Hibernate",
  "before-restore": "Before restore",
  application: "Application",
  schedule: "Schedule",
  idle: "Idle",
  ready: "Ready",
  shutdown: "Shutdown",
  unknown: "Unknown",
};

/** What an operation is doing, as a sentence's beginning. */
export const OPERATION_WORDS: Readonly<Record<OperationKind, string>> = {
  start: "Starting",
  stop: "Stopping",
  capture: "Capturing",
  hibernate: "Hibernating",
  wake: "Waking",
  restore: "Restoring",
  verify: "Verifying",
  move: "Moving",
  flatten: "Making an image whole of",
};

export const OPERATION_DONE_WORDS: Readonly<Record<OperationKind, string>> = {
  start: "Started",
  stop: "Stopped",
  capture: "Captured",
  hibernate: "Hibernated",
  wake: "Woken",
  restore: "Restored",
  verify: "Verified",
  move: "Moved",
  flatten: "Made an image whole of",
};

export const PHASE_WORDS: Readonly<Record<OperationPhase, string>> = {
  prepare: "getting ready",
  "capture-before": "capturing the running state first",
  start: "starting the program",
  stop: "ending the program",
  freeze: "freezing the process tree",
  state: "reading the system state",
  memory: "writing memory",
  commit: "making the image durable",
  build: "building the process tree",
  load: "loading memory",
  resume: "resuming",
  switch: "changing over",
  verify: "reading every block",
  copy: "copying the image",
  done: "done",
};

export type ImageStatus = "verified" | "unverified" | "suspect" | Exclude<ImageState, "ok">;

export const IMAGE_STATUS_WORDS: Readonly<Record<ImageStatus, string>> = {
  verified: "Verified",
  unverified: "Not verified",
  suspect: "Suspect",
  missing: "Missing",
  damaged: "Damaged",
  incomplete: "Incomplete",
};

export function statusOfImage(
  image: Pick<ImageRecord, "state" | "verifiedAt" | "suspectFor">,
): ImageStatus {
  if (image.state !== "ok") return image.state;
  if (image.suspectFor.length > 0) return "suspect";
  return image.verifiedAt === null ? "unverified" : "verified";
}

/** The first eight digits of an id: what people say to each other. */
export function shortId(imageId: string): string {
  return imageId.slice(0, 8);
}
