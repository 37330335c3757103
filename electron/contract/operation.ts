/** Long work as a job: it has an id, a phase, bytes done, can be cancelled, and ends exactly once. */
import { failureSchema } from "./failure.js";
import { helperPhaseSchema } from "./helper-output.js";
import {
  applicationIdSchema,
  byteCountSchema,
  imageIdSchema,
  operationIdSchema,
  timestampSchema,
} from "./identifiers.js";
import { z } from "./validation.js";

export const operationKindSchema = z.enum([
  "start",
  "stop",
  "capture",
  "hibernate",
  "wake",
  "restore",
  "verify",
  "move",
  "flatten",
]);
export type OperationKind = z.infer<typeof operationKindSchema>;

export const operationStateSchema = z.enum([
  "running",
  "cancelling",
  "succeeded",
  "failed",
  "cancelled",
]);
export type OperationState = z.infer<typeof operationStateSchema>;

/** The helper's phases, and the agent's own around them. */
export const operationPhaseSchema = z.enum([
  "prepare",
  "capture-before",
  "start",
  "stop",
  ...helperPhaseSchema.options,
  "switch",
  "copy",
  "done",
]);
export type OperationPhase = z.infer<typeof operationPhaseSchema>;

export const operationResultSchema = z.object({
  /** The image that was written, restored from, verified, moved or flattened. */
  imageId: imageIdSchema.optional(),
  /** The image taken before a restore, where that was asked for. */
  beforeImageId: imageIdSchema.optional(),
  /** An image that was replaced by the new one, and is gone. */
  replacedImageId: imageIdSchema.optional(),
  pauseMs: z.number().optional(),
  durationMs: z.number().optional(),
  firstInstructionMs: z.number().optional(),
  rootPid: z.number().int().optional(),
  bytes: byteCountSchema.optional(),
  path: z.string().optional(),
  /** Other images that were moved along, because they build on one another. */
  movedAlong: z.array(imageIdSchema).optional(),
  notes: z.array(z.string()),
});
export type OperationResult = z.infer<typeof operationResultSchema>;

export const operationRecordSchema = z.object({
  id: operationIdSchema,
  kind: operationKindSchema,
  applicationId: applicationIdSchema,
  /** The image that it works on, where there is one from the start (restore, wake, verify, move, flatten). */
  imageId: imageIdSchema.nullable(),
  state: operationStateSchema,
  phase: operationPhaseSchema,
  doneBytes: byteCountSchema.nullable(),
  totalBytes: byteCountSchema.nullable(),
  cancellable: z.boolean(),
  startedAt: timestampSchema,
  endedAt: timestampSchema.nullable(),
  result: operationResultSchema.nullable(),
  error: failureSchema.nullable(),
});
export type OperationRecord = z.infer<typeof operationRecordSchema>;

/** "start of", "capture of" … before an application's name. */
export const operationNouns: Readonly<Record<OperationKind, string>> = {
  start: "start",
  stop: "stop",
  capture: "capture",
  hibernate: "hibernation",
  wake: "wake",
  restore: "restore",
  verify: "verification",
  move: "move",
  flatten: "flattening",
};

/** True when an operation has ended, in whichever way. */
export function hasEnded(operation: Pick<OperationRecord, "state">): boolean {
  return operation.state !== "running" && operation.state !== "cancelling";
}
