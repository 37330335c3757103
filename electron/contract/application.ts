/** What the agent tells about one application: what its file says, and what it is doing. */
import { exitReportSchema } from "./exit.js";
import {
  applicationIdSchema,
  capsuleIdSchema,
  imageIdSchema,
  operationIdSchema,
  pidSchema,
  sizesSchema,
  timestampSchema,
} from "./identifiers.js";
import { z } from "./validation.js";

export const applicationStateSchema = z.enum([
  "stopped",
  "starting",
  "running",
  "capturing",
  "hibernating",
  "hibernated",
  "restoring",
  "stopping",
  "failed",
]);
export type ApplicationState = z.infer<typeof applicationStateSchema>;

/** What is wrong with an application's file, and where. Lines and columns count from 1. */
export const configProblemSchema = z.object({
  file: z.string(),
  line: z.number().int().min(1).nullable(),
  column: z.number().int().min(1).nullable(),
  /** Dotted, such as `capture.compress`; null when the file as a whole can't be read. */
  key: z.string().nullable(),
  message: z.string(),
});
export type ConfigProblem = z.infer<typeof configProblemSchema>;

/** How an operator sees an application: on a terminal, on a display, or not at all. */
export const surfaceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("terminal") }),
  z.object({
    kind: z.literal("display"),
    width: z.number().int().min(1),
    height: z.number().int().min(1),
  }),
  z.object({ kind: z.literal("none") }),
]);
export type Surface = z.infer<typeof surfaceSchema>;

/** One run of an application, from a clean start or from an image. */
export const lifeSchema = z.object({
  number: z.number().int().min(1),
  capsuleId: capsuleIdSchema,
  initPid: pidSchema,
  /** The application's first process, as the machine numbers it; unlike the PIDs inside, it changes. */
  rootPid: pidSchema,
  startedAt: timestampSchema,
  restoredFromImageId: imageIdSchema.nullable(),
  /** The newest image of this life, or the one it was restored from: where on the timeline it stands. */
  currentImageId: imageIdSchema.nullable(),
});
export type Life = z.infer<typeof lifeSchema>;

export const measurementSchema = z.object({
  sizes: sizesSchema,
  processes: z.number().int().min(0),
  measuredAt: timestampSchema,
});
export type Measurement = z.infer<typeof measurementSchema>;

export const applicationRecordSchema = z.object({
  id: applicationIdSchema,
  name: z.string(),
  order: z.number().int(),
  /** The file that configures it. */
  file: z.string(),
  state: applicationStateSchema,
  /** Why it is in this state where that isn't plain: "ended with exit status 1", "its file has an error". */
  stateReason: z.string().nullable(),
  stateSince: timestampSchema,
  /** Set when the file can't be used as it is now; an application that runs, runs on as last configured. */
  configProblem: configProblemSchema.nullable(),
  surface: surfaceSchema,
  command: z.array(z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  start: z.enum(["manual", "auto"]),
  /** The life that is running; null when none is. */
  life: lifeSchema.nullable(),
  /** How the last life ended, unless it was stopped or hibernated on request. */
  lastExit: exitReportSchema.nullable(),
  /** The newest measurement of the running tree; kept up to date while somebody watches. */
  measurement: measurementSchema.nullable(),
  /** The operation that holds the application right now. */
  operationId: operationIdSchema.nullable(),
  /** The image that `wake` would use. */
  hibernatedImageId: imageIdSchema.nullable(),
  imageCount: z.number().int().min(0),
  newestImageId: imageIdSchema.nullable(),
});
export type ApplicationRecord = z.infer<typeof applicationRecordSchema>;
