/**
 * The lines that torpor-helper prints, as schemas. The helper is ours, but it is another process: what
 * it says is checked like everything that crosses a boundary. Unknown keys are let through unread, so
 * that a newer helper may say more.
 */
import { blockerSchema, exitStatusOfHelperCode, type HelperErrorCode } from "./failure.js";
import {
  byteCountSchema,
  compressionSchema,
  imageIdSchema,
  millisecondsSchema,
  pidSchema,
  sizesSchema,
} from "./identifiers.js";
import { MAX_PICTURE_BYTES } from "./limits.js";
import { z } from "./validation.js";

export const helperPhaseSchema = z.enum([
  "freeze",
  "state",
  "memory",
  "commit",
  "build",
  "load",
  "resume",
  "verify",
]);

export const helperProgressSchema = z.object({
  type: z.literal("progress"),
  phase: helperPhaseSchema,
  doneBytes: byteCountSchema.nullish(),
  totalBytes: byteCountSchema.nullish(),
});
export type HelperProgress = z.infer<typeof helperProgressSchema>;

const helperErrorCodeSchema = z.enum(
  Object.keys(exitStatusOfHelperCode) as [HelperErrorCode, ...HelperErrorCode[]],
);

export const helperErrorSchema = z.object({
  type: z.literal("error"),
  code: helperErrorCodeSchema.catch("internal"),
  message: z.string(),
  blockers: z.array(blockerSchema).nullish(),
});
export type HelperError = z.infer<typeof helperErrorSchema>;

const result = z.object({ type: z.literal("result") });
const notes = z.array(z.string()).nullish();

export const processSchema = z.object({
  pid: pidSchema,
  ppid: z.number().int().min(0),
  comm: z.string(),
  cmdline: z.array(z.string()),
  threads: z.number().int().min(0),
  uid: z.number().int().min(0),
  state: z.string(),
});
export type ProcessRecord = z.infer<typeof processSchema>;

export const pictureFormatSchema = z.enum(["png", "svg"]);

/** What a picture is; sides in pixels. */
const pictureSchema = z.object({
  format: pictureFormatSchema,
  width: z.number().int().min(1),
  height: z.number().int().min(1),
});

/** What an application showed when an image was made. */
export const imagePictureSchema = pictureSchema.extend({
  /** The file, as base64. */
  data: z.base64().max(Math.ceil(MAX_PICTURE_BYTES / 3) * 4),
});
export type ImagePicture = z.infer<typeof imagePictureSchema>;

/** What `inspect` finds: the tree, its three sizes, what can't be captured, what may not come back. */
export const inspectionSchema = z.object({
  rootPid: pidSchema,
  processes: z.array(processSchema),
  sizes: sizesSchema,
  blockers: z.array(blockerSchema),
  warnings: z.array(blockerSchema),
});
export type Inspection = z.infer<typeof inspectionSchema>;

/** `show`: the fields that the agent reads by name. All others are passed on as they are. */
export const imageDescriptionSchema = z.looseObject({
  imageId: imageIdSchema,
  formatVersion: z.number().int(),
  createdAt: z.string(),
  arch: z.string(),
  kernel: z.string(),
  hostname: z.string().nullish(),
  bootId: z.string().nullish(),
  parentId: imageIdSchema.nullish(),
  sizes: sizesSchema,
  fileBytes: byteCountSchema,
  processes: z.number().int().min(0),
  threads: z.number().int().min(0).nullish(),
  rootComm: z.string().nullish(),
  compress: compressionSchema.nullish(),
  meta: z.record(z.string(), z.string()).nullish(),
  /** What it has a picture of, if any: a display as PNG, a terminal as SVG. */
  picture: pictureFormatSchema.nullish(),
  tree: z.unknown().optional(),
  memory: z.unknown().optional(),
  files: z.unknown().optional(),
});
export type ImageDescription = z.infer<typeof imageDescriptionSchema>;

/** The last line of each command that succeeded. */
export const helperResultSchemas = {
  check: result.extend({
    command: z.literal("check"),
    kernel: z.string(),
    arch: z.string(),
    ok: z.boolean(),
    features: z.array(
      z.object({
        name: z.string(),
        ok: z.boolean(),
        required: z.boolean().optional(),
        neededFor: z.string().catch(""),
        detail: z.string().nullish(),
        remedy: z.string().nullish(),
      }),
    ),
  }),
  inspect: result.extend({ command: z.literal("inspect") }).extend(inspectionSchema.shape),
  run: result.extend({
    command: z.literal("run"),
    capsule: z.string(),
    initPid: pidSchema,
    rootPid: pidSchema,
  }),
  capture: result.extend({
    command: z.literal("capture"),
    imageId: imageIdSchema,
    image: z.string(),
    parentId: imageIdSchema.nullish(),
    sizes: sizesSchema,
    fileBytes: byteCountSchema,
    pauseMs: millisecondsSchema,
    durationMs: millisecondsSchema,
    processes: z.number().int().min(0),
    threads: z.number().int().min(0),
    compress: compressionSchema,
    stopped: z.boolean(),
    mode: z.enum(["copy-on-write", "eager"]),
    notes,
  }),
  restore: result.extend({
    command: z.literal("restore"),
    imageId: imageIdSchema,
    capsule: z.string().nullish(),
    initPid: pidSchema.nullish(),
    rootPid: pidSchema,
    firstInstructionMs: millisecondsSchema,
    durationMs: millisecondsSchema,
    processes: z.number().int().min(0),
    mode: z.enum(["lazy", "eager"]),
    notes,
  }),
  verify: result.extend({
    command: z.literal("verify"),
    imageId: imageIdSchema,
    ok: z.boolean(),
    blocks: z.number().int().min(0),
    bytes: byteCountSchema,
    durationMs: millisecondsSchema,
  }),
  flatten: result.extend({
    command: z.literal("flatten"),
    imageId: imageIdSchema,
    image: z.string(),
    flattenedId: imageIdSchema,
    parents: z.number().int().min(0),
    fileBytes: byteCountSchema,
    durationMs: millisecondsSchema,
  }),
  show: imageDescriptionSchema.extend({
    type: z.literal("result"),
    command: z.literal("show"),
    /** With --picture: the file that was written. */
    pictureFile: z.object({ path: z.string(), picture: pictureSchema }).nullish(),
  }),
} as const;

export type HelperCommand = keyof typeof helperResultSchemas;
export type HelperResult<C extends HelperCommand> = z.infer<(typeof helperResultSchemas)[C]>;

/** capsule.json in a capsule's runtime folder: what finds it again after the agent was away. */
export const capsuleFileSchema = z.object({
  id: z.string(),
  initPid: pidSchema,
  initStartTicks: z.number().int().min(0),
  rootPid: pidSchema,
  startedAt: z.string(),
  command: z.array(z.string()).nullish(),
  tty: z.boolean().nullish(),
  /** "WIDTHxHEIGHT" of its private display. */
  display: z.string().nullish(),
  restoredFrom: imageIdSchema.nullish(),
  bootId: z.string(),
  /** The cgroup v2 folder that holds the application and not its init, where the machine has one. */
  cgroup: z.string().nullish(),
  notes: z.array(z.string()).nullish(),
});
export type CapsuleFile = z.infer<typeof capsuleFileSchema>;
