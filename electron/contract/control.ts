/**
 * Every method and notification of the control socket, on which an application talks to the agent about
 * itself. Parameters are strict, like the operator socket's.
 */
import {
  MAX_CONTROL_IMAGES,
  MAX_INHIBIT_MS,
  MAX_REASON_LENGTH,
  PROCEED_TIMEOUT_MS,
} from "./control-limits.js";
import { failureCodeSchema } from "./failure.js";
import {
  applicationIdSchema,
  byteCountSchema,
  compressionSchema,
  imageIdSchema,
  imageReferenceSchema,
  labelSchema,
  millisecondsSchema,
  timestampSchema,
} from "./identifiers.js";
import { imageStateSchema, triggerSchema } from "./image.js";
import { occurrenceSchema } from "./occurrence.js";
import { z } from "./validation.js";

/** Chosen by the client, at random: what it asks for the outcome by when its connection has ended. */
export const ticketSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 of letters, digits, "-" and "_"');
export type Ticket = z.infer<typeof ticketSchema>;

export const controlTokenSchema = z.string().regex(/^[0-9a-f]{16}$/, "must be a token");

/** What became of a life that was not a clean start: the image, why, and how old the image was. */
export const restorationSchema = z.object({
  imageId: imageIdSchema,
  /** Null where no record of it is left. */
  occurrence: occurrenceSchema.nullable(),
  /** Wall-clock time from the taking of the image to its restore. */
  elapsedMs: millisecondsSchema,
});
export type Restoration = z.infer<typeof restorationSchema>;

export const checkpointOutcomeSchema = z.discriminatedUnion("outcome", [
  /** The image is durable; the application goes on. `pauseMs` is null where only the file is left to tell. */
  z.object({
    outcome: z.literal("saved"),
    imageId: imageIdSchema,
    pauseMs: millisecondsSchema.nullable(),
  }),
  /** This life was begun from an image that was taken while the request was under way. */
  restorationSchema.extend({ outcome: z.literal("restored") }),
  z.object({ outcome: z.literal("pending") }),
  /** No image was written; the application runs on as it was. */
  z.object({ outcome: z.literal("failed"), code: failureCodeSchema, message: z.string() }),
  /** The agent has never heard of the ticket, or not for a long time. */
  z.object({ outcome: z.literal("unknown") }),
]);
export type CheckpointOutcome = z.infer<typeof checkpointOutcomeSchema>;

export const ownImageSchema = z.object({
  imageId: imageIdSchema,
  createdAt: timestampSchema,
  trigger: triggerSchema,
  label: z.string().nullable(),
  state: imageStateSchema,
  fileBytes: byteCountSchema,
});
export type OwnImage = z.infer<typeof ownImageSchema>;

export const controlEventKindSchema = z.enum([
  "about-to-capture",
  "captured",
  "capture-failed",
  "restored",
  "restore-failed",
]);
export type ControlEventKind = z.infer<typeof controlEventKindSchema>;

export const controlEventSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("about-to-capture"),
    token: controlTokenSchema,
    trigger: triggerSchema,
    /** True: the application ends with this capture (it is hibernated). */
    stop: z.boolean(),
    withinMs: z.literal(PROCEED_TIMEOUT_MS),
  }),
  z.object({
    kind: z.literal("captured"),
    imageId: imageIdSchema,
    trigger: triggerSchema,
    pauseMs: millisecondsSchema,
  }),
  z.object({ kind: z.literal("capture-failed"), code: failureCodeSchema, message: z.string() }),
  restorationSchema.extend({ kind: z.literal("restored"), life: z.number().int().min(1) }),
  z.object({
    kind: z.literal("restore-failed"),
    imageId: imageIdSchema,
    code: failureCodeSchema,
    message: z.string(),
  }),
]);
export type ControlEvent = z.infer<typeof controlEventSchema>;

const none = z.strictObject({});
const nothing = z.object({});
const byTicket = z.strictObject({ ticket: ticketSchema });

export const controlMethods = {
  checkpoint: {
    params: byTicket.extend({
      label: labelSchema.optional(),
      /** false: replaces the newest image that the application has asked for. Default: `keep.policy` of its file. */
      keep: z.boolean().optional(),
      /** false: answers `pending` at once. */
      wait: z.boolean().optional(),
    }),
    result: checkpointOutcomeSchema,
  },
  outcome: { params: byTicket, result: checkpointOutcomeSchema },
  images: {
    params: z.strictObject({ limit: z.number().int().min(1).max(MAX_CONTROL_IMAGES).optional() }),
    result: z.object({ images: z.array(ownImageSchema) }),
  },
  restore: {
    params: z.union(
      [
        z.strictObject({ image: imageReferenceSchema }),
        z.strictObject({ label: labelSchema.min(1) }),
      ],
      { error: 'must have either "image" or "label"' },
    ),
    result: z.object({ outcome: z.literal("restoring"), imageId: imageIdSchema }),
  },
  status: {
    params: none,
    result: z.object({
      protocolVersion: z.number().int(),
      application: applicationIdSchema,
      life: z.number().int().min(1),
      restored: restorationSchema.nullable(),
      /** What its file says that images are taken by. */
      policy: z.object({
        keep: z.boolean(),
        compress: compressionSchema,
        everyMs: millisecondsSchema.nullable(),
        whenIdleMs: millisecondsSchema.nullable(),
        afterReady: z.boolean(),
        atShutdown: z.boolean(),
      }),
      lastImage: ownImageSchema.nullable(),
      /** Free space of the first store that can be used; null when none can. */
      freeBytes: byteCountSchema.nullable(),
      inhibitions: z.array(z.object({ reason: z.string(), endsInMs: millisecondsSchema })),
    }),
  },
  heartbeat: { params: none, result: nothing },
  ready: { params: none, result: nothing },
  inhibit: {
    params: z.strictObject({
      reason: labelSchema.min(1, "must not be empty").max(MAX_REASON_LENGTH),
      timeoutMs: z.number().int().min(1).max(MAX_INHIBIT_MS),
    }),
    result: z.object({ token: controlTokenSchema }),
  },
  allow: {
    params: z.strictObject({ token: controlTokenSchema }),
    result: z.object({ released: z.boolean() }),
  },
  subscribe: {
    params: z.strictObject({ events: z.array(controlEventKindSchema).max(16).optional() }),
    result: z.object({
      events: z.array(controlEventKindSchema),
      /** Another number than before: the application was restored in between. */
      life: z.number().int().min(1),
      restored: restorationSchema.nullable(),
    }),
  },
  proceed: {
    params: z.strictObject({ token: controlTokenSchema }),
    result: z.object({ accepted: z.boolean() }),
  },
} as const satisfies Record<string, { params: z.ZodType; result: z.ZodType }>;

export type ControlMethodName = keyof typeof controlMethods;
export type ControlParams<M extends ControlMethodName> = z.output<
  (typeof controlMethods)[M]["params"]
>;
export type ControlResult<M extends ControlMethodName> = z.output<
  (typeof controlMethods)[M]["result"]
>;

export function isControlMethodName(name: string): name is ControlMethodName {
  return Object.hasOwn(controlMethods, name);
}
