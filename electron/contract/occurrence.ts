/**
 * Occurrences: why an application is brought back, or was not. Each is recorded with the image that was
 * chosen for it, by which rule, and why every other image was passed over.
 */
import {
  applicationIdSchema,
  imageIdSchema,
  operationIdSchema,
  timestampSchema,
} from "./identifiers.js";
import { z } from "./validation.js";

export const occurrenceSchema = z.enum([
  /** An operator asked for it. */
  "operator",
  /** The application itself asked for it. */
  "application",
  /** It ended by a signal or with an exit status other than 0. */
  "crash",
  /** It ran and did nothing: no heartbeat, or a probe that failed. */
  "hang",
  /** The machine, or the agent, was started after a clean end. */
  "start-up",
  /** The machine was started after one that was not clean. */
  "power-loss",
  /** The agent was started after it had failed itself. */
  "agent-failure",
]);
export type Occurrence = z.infer<typeof occurrenceSchema>;

/** Those that the agent answers by itself, by the rules of the application's file. */
export const recoveredSchema = occurrenceSchema.extract([
  "crash",
  "hang",
  "start-up",
  "power-loss",
  "agent-failure",
]);
export type RecoveredOccurrence = z.infer<typeof recoveredSchema>;

export const passedOverSchema = z.object({
  imageId: imageIdSchema,
  /** Which rule it was looked at for; counts from 0. */
  rule: z.number().int().min(0),
  /** For people: "is suspect: a life of it crashed within 60 s". */
  reason: z.string(),
});
export type PassedOver = z.infer<typeof passedOverSchema>;

/** What is done about an occurrence. */
export const decisionSchema = z.object({
  action: z.enum([
    /** Restore the image. */
    "restore",
    /** Start it cleanly, from its program's file. */
    "start",
    /** The rules say to leave it as it is. */
    "nothing",
    /** No rule is left: the application is failed. */
    "give-up",
  ]),
  imageId: imageIdSchema.nullable(),
  /** The rule that decided, as the file has it or would have it; null where none did. */
  rule: z.string().nullable(),
  /** For people: why this and nothing else. */
  reason: z.string(),
  passedOver: z.array(passedOverSchema),
  /** How long is waited before it is done. */
  delayMs: z.number().int().min(0),
});
export type Decision = z.infer<typeof decisionSchema>;

export const occurrenceRecordSchema = z.object({
  id: z.number().int().min(1),
  applicationId: applicationIdSchema,
  kind: occurrenceSchema,
  at: timestampSchema,
  /** What happened, for people: "was ended by SIGSEGV". */
  happened: z.string(),
  exitStatus: z.number().int().nullable(),
  signalName: z.string().nullable(),
  /** The life that ended with it; null where none ran. */
  endedLife: z.number().int().min(0).nullable(),
  /** How many attempts have failed in a row before it, without a healthy life in between. */
  failures: z.number().int().min(0),
  decision: decisionSchema,
  state: z.enum(["waiting", "acting", "done", "failed", "superseded"]),
  /** How the attempt ended, for people; null while it has not. */
  outcome: z.string().nullable(),
  /** The life that came of it. */
  life: z.number().int().min(1).nullable(),
  operationId: operationIdSchema.nullable(),
  endedAt: timestampSchema.nullable(),
});
export type OccurrenceRecord = z.infer<typeof occurrenceRecordSchema>;
