/**
 * Every method of the operator socket: what it takes and what it answers. This map is the truth for
 * the agent, which validates by it, and for the clients, which are typed by it.
 *
 * A method that takes long answers at once with the operation that does the work; progress comes as
 * `operation.changed`, the end also from `operations.wait`.
 */
import { applicationRecordSchema } from "./application.js";
import { eventNameSchema } from "./events.js";
import { imageDescriptionSchema, imagePictureSchema, inspectionSchema } from "./helper-output.js";
import {
  applicationIdSchema,
  byteCountSchema,
  compressionSchema,
  displayIdSchema,
  imageIdSchema,
  imageReferenceSchema,
  labelSchema,
  operationIdSchema,
  pidSchema,
  remarkSchema,
  terminalIdSchema,
  terminalSideSchema,
} from "./identifiers.js";
import { imageRecordSchema } from "./image.js";
import {
  MAX_APPLICATION_FILE_BYTES,
  MAX_DISPLAY_INPUT_BYTES,
  MAX_GRACE_MS,
  MAX_LIST_LENGTH,
  MAX_TERMINAL_INPUT_BYTES,
  MAX_WAIT_MS,
} from "./limits.js";
import { decisionSchema, occurrenceRecordSchema, recoveredSchema } from "./occurrence.js";
import { operationRecordSchema } from "./operation.js";
import { policyCheckSchema, policyFileSchema } from "./policy-check.js";
import { heldImageSchema, pruneEntrySchema } from "./prune.js";
import { auditEntrySchema, doctorReportSchema, noticeSchema, systemInfoSchema } from "./system.js";
import { z } from "./validation.js";

const none = z.strictObject({});
const done = z.object({ ok: z.literal(true) });
const application = z.object({ application: applicationRecordSchema });
const operation = z.object({ operation: operationRecordSchema });
const image = z.object({ image: imageRecordSchema });
const byApplication = z.strictObject({ app: applicationIdSchema });
const byImage = z.strictObject({ image: imageReferenceSchema });
const byDisplay = z.strictObject({ display: displayIdSchema });
const byOperation = z.strictObject({ operation: operationIdSchema });

/** Bytes as base64; four characters for three bytes. */
const bytesUpTo = (most: number) =>
  z.base64().max(Math.ceil(most / 3) * 4, `must be at most ${most} bytes`);

export const imageSectionSchema = z.enum(["tree", "memory", "files"]);
export type ImageSection = z.infer<typeof imageSectionSchema>;

export const methods = {
  /** The agent, its folders, its stores, the machine. */
  "system.info": { params: none, result: systemInfoSchema },
  /** What this machine can do and what is missing for what. */
  "doctor.run": { params: none, result: doctorReportSchema },

  /** From now on this connection gets events: those named, or all. Replaces an earlier choice. */
  "events.subscribe": {
    params: z.strictObject({ events: z.array(eventNameSchema).optional() }),
    result: z.object({ events: z.array(eventNameSchema) }),
  },
  "events.unsubscribe": { params: none, result: done },

  "applications.list": {
    params: none,
    result: z.object({ applications: z.array(applicationRecordSchema) }),
  },
  "applications.get": { params: byApplication, result: application },
  /** A clean start, from the program's file. */
  "applications.start": { params: byApplication, result: operation },
  /** SIGTERM, the grace of its file or the one given here, SIGKILL. Nothing is captured. */
  "applications.stop": {
    params: byApplication.extend({ graceMs: z.number().int().min(0).max(MAX_GRACE_MS).optional() }),
    result: operation,
  },
  /**
   * Which applications this connection looks at: only those are measured, and only while somebody
   * looks (`application.measured`). Replaces an earlier choice; an empty list ends it.
   */
  "applications.watch": {
    params: z.strictObject({ apps: z.array(applicationIdSchema).max(1000) }),
    result: done,
  },

  /** A boot image of the running application; with `hibernate` the tree ends once the image is durable. */
  "capture.start": {
    params: byApplication.extend({
      label: labelSchema.optional(),
      hibernate: z.boolean().optional(),
      compress: compressionSchema.optional(),
      /** false: replaces the application's previous image. Default: what the application's file says. */
      keep: z.boolean().optional(),
      /** Also while the application asks not to be captured now. */
      force: z.boolean().optional(),
    }),
    result: operation,
  },
  /** Before the machine goes down: hibernates what its file marks with at-shutdown, within the limit. */
  "hibernate.marked": {
    params: z.strictObject({ limitMs: z.number().int().min(1).max(3_600_000).optional() }),
    result: z.object({
      applications: z.array(
        z.object({
          applicationId: applicationIdSchema,
          imageId: imageIdSchema.nullable(),
          problem: z.string().nullable(),
        }),
      ),
    }),
  },
  /** Brings a hibernated application back: from the image it was hibernated to, or the one given. */
  "wake.start": {
    params: byApplication.extend({ image: imageReferenceSchema.optional() }),
    result: operation,
  },
  /**
   * Puts an application to an image: the newest usable one, or the one given. What runs is captured
   * first if asked for, and ended only when the restored tree stands. Deletes no image.
   */
  "restore.start": {
    params: byApplication.extend({
      image: imageReferenceSchema.optional(),
      captureFirst: z.boolean(),
    }),
    result: operation,
  },

  /** Of one application or of all; newest first. */
  "images.list": {
    params: z.strictObject({ app: applicationIdSchema.optional() }),
    result: z.object({ images: z.array(imageRecordSchema) }),
  },
  "images.get": { params: byImage, result: image },
  /** What the file itself says, by the sections asked for. */
  "images.show": {
    params: byImage.extend({ sections: z.array(imageSectionSchema).max(3).optional() }),
    result: z.object({ image: imageRecordSchema, description: imageDescriptionSchema }),
  },
  /** What the application showed when the image was made; null where the image has no picture. */
  "images.picture": {
    params: byImage,
    result: z.object({ picture: imagePictureSchema.nullable() }),
  },
  /** Reads every block of the file. */
  "images.verify": { params: byImage, result: operation },
  /** Deletes the file and the record. Refused while the image is in use or another one builds on it. */
  "images.delete": { params: byImage, result: image },
  /**
   * To another folder, also on another file system. The image is never without a whole file. Images that
   * build on one another go together.
   */
  "images.move": {
    params: byImage.extend({
      folder: z
        .string()
        .max(4096)
        .regex(/^\/[^\0]*$/, "must be an absolute path"),
    }),
    result: operation,
  },
  /**
   * Writes an incremental image anew as one that builds on no other, in its place and with its id. Refused
   * while another image builds on it.
   */
  "images.flatten": { params: byImage, result: operation },
  /** null or an empty label takes it away. */
  "images.label": { params: byImage.extend({ label: labelSchema.nullable() }), result: image },
  /** A pinned image is never deleted but by an operator, one by one. */
  "images.pin": { params: byImage.extend({ pinned: z.boolean() }), result: image },
  /** null or an empty remark takes it away. */
  "images.remark": { params: byImage.extend({ remark: remarkSchema.nullable() }), result: image },
  /** Deletes what the rules of the files let go; `dryRun`: only says what that is. */
  "images.prune": {
    params: z.strictObject({ app: applicationIdSchema.optional(), dryRun: z.boolean() }),
    result: z.object({
      entries: z.array(pruneEntrySchema),
      freedBytes: byteCountSchema,
      /** What no rule wants any more and is kept all the same. */
      held: z.array(heldImageSchema),
    }),
  },
  /** Looks through the stores again: adds what is new there, marks what is gone. */
  "images.rescan": {
    params: none,
    result: z.object({
      added: z.number().int(),
      missing: z.number().int(),
      returned: z.number().int(),
      unreadable: z.number().int(),
    }),
  },

  /** Newest first. */
  "operations.list": {
    params: z.strictObject({
      app: applicationIdSchema.optional(),
      active: z.boolean().optional(),
      limit: z.number().int().min(1).max(MAX_LIST_LENGTH).optional(),
    }),
    result: z.object({ operations: z.array(operationRecordSchema) }),
  },
  "operations.get": { params: byOperation, result: operation },
  /** Answers when the operation has ended, or as it is when the time is up. */
  "operations.wait": {
    params: byOperation.extend({ timeoutMs: z.number().int().min(0).max(MAX_WAIT_MS).optional() }),
    result: operation,
  },
  /** Asks an operation to end; it answers at once, the operation ends with state `cancelled` soon after. */
  "operations.cancel": { params: byOperation, result: operation },

  /** The tree, its three sizes, and what stands in the way of a capture, of an application or any process. */
  "inspect.run": {
    params: z.union([byApplication, z.strictObject({ pid: pidSchema })], {
      error: 'must have either "app" or "pid"',
    }),
    result: z.object({ inspection: inspectionSchema }),
  },

  /**
   * Opens an application's terminal. `terminal.output` follows, first a snapshot that repaints the
   * screen. The terminal follows the application when it is restored: a snapshot of its new life comes.
   */
  "terminal.open": {
    params: byApplication.extend({
      cols: terminalSideSchema.optional(),
      rows: terminalSideSchema.optional(),
      /** Sees the terminal, and can neither type nor resize. */
      viewOnly: z.boolean().optional(),
    }),
    result: z.object({ terminal: terminalIdSchema }),
  },
  "terminal.input": {
    params: z.strictObject({
      terminal: terminalIdSchema,
      data: bytesUpTo(MAX_TERMINAL_INPUT_BYTES),
    }),
    result: done,
  },
  "terminal.resize": {
    params: z.strictObject({
      terminal: terminalIdSchema,
      cols: terminalSideSchema,
      rows: terminalSideSchema,
    }),
    result: done,
  },
  "terminal.close": { params: z.strictObject({ terminal: terminalIdSchema }), result: done },

  /**
   * Opens an application's display, as a viewer that speaks RFB (RFC 6143) with its X server. It ends with
   * the life that it was opened in: a viewer of the next life opens another one.
   */
  "display.open": { params: byApplication, result: z.object({ display: displayIdSchema }) },
  /** From now on `display.output` comes: the server speaks first. */
  "display.start": { params: byDisplay, result: done },
  "display.input": {
    params: byDisplay.extend({ data: bytesUpTo(MAX_DISPLAY_INPUT_BYTES) }),
    result: done,
  },
  "display.close": { params: byDisplay, result: done },

  /** The application's file as it is, and where it lies. */
  "policy.read": { params: byApplication, result: z.object({ file: policyFileSchema }) },
  /** What the policy of one application or of all says, and what would happen next; `text`: an edited file. */
  "policy.check": {
    params: z.union([
      byApplication.extend({ text: z.string().max(MAX_APPLICATION_FILE_BYTES).optional() }),
      none,
    ]),
    result: z.object({ checks: z.array(policyCheckSchema) }),
  },
  /** Writes the file, checked before; refused where it changes what runs as whom, or is outdated. */
  "policy.save": {
    params: byApplication.extend({
      text: z.string().max(MAX_APPLICATION_FILE_BYTES),
      revision: z.string().max(64),
    }),
    result: z.object({ file: policyFileSchema }),
  },

  /** What would be done if this happened to the application now; null where it has no [recovery]. */
  "recovery.explain": {
    params: byApplication.extend({ on: recoveredSchema }),
    result: z.object({ decision: decisionSchema.nullable() }),
  },
  /** Does it, for an application that does not run. */
  "recovery.run": {
    params: byApplication.extend({ on: recoveredSchema }),
    result: z.object({ occurrence: occurrenceRecordSchema }),
  },
  /** Occurrences with what was done about each and why, newest first. */
  "recovery.history": {
    params: z.strictObject({
      app: applicationIdSchema.optional(),
      limit: z.number().int().min(1).max(MAX_LIST_LENGTH).optional(),
    }),
    result: z.object({ occurrences: z.array(occurrenceRecordSchema) }),
  },

  /** What was done and how it ended, newest first; also of applications and images that are gone. */
  "audit.list": {
    params: z.strictObject({
      app: applicationIdSchema.optional(),
      limit: z.number().int().min(1).max(MAX_LIST_LENGTH).optional(),
    }),
    result: z.object({ entries: z.array(auditEntrySchema) }),
  },

  "notices.list": { params: none, result: z.object({ notices: z.array(noticeSchema) }) },
  /** Without an id: all of them. */
  "notices.dismiss": {
    params: z.strictObject({ id: z.number().int().min(1).optional() }),
    result: done,
  },
} as const satisfies Record<string, { params: z.ZodType; result: z.ZodType }>;

export type MethodName = keyof typeof methods;
/** What a caller writes. */
export type MethodParams<M extends MethodName> = z.input<(typeof methods)[M]["params"]>;
/** What the caller gets. */
export type MethodResult<M extends MethodName> = z.output<(typeof methods)[M]["result"]>;

export function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
