/** The catalog's record of one boot image. */
import {
  applicationIdSchema,
  byteCountSchema,
  compressionSchema,
  imageIdSchema,
  millisecondsSchema,
  sizesSchema,
  timestampSchema,
} from "./identifiers.js";
import { occurrenceSchema } from "./occurrence.js";
import { z } from "./validation.js";

/** Why an image was taken. */
export const triggerSchema = z.enum([
  "operator",
  "hibernate",
  "before-restore",
  "application",
  "schedule",
  "idle",
  "ready",
  "shutdown",
  "unknown",
]);
export type Trigger = z.infer<typeof triggerSchema>;

export const imageStateSchema = z.enum([
  /** Where the catalog says it is; not found wrong so far. */
  "ok",
  /** Its file is not there (any more); it comes back to `ok` when the file does. */
  "missing",
  /** `verify` or a restore found it damaged. */
  "damaged",
  /** An image that it builds on is not there, or damaged; it comes back to `ok` with that one. */
  "incomplete",
]);
export type ImageState = z.infer<typeof imageStateSchema>;

export const imageRecordSchema = z.object({
  id: imageIdSchema,
  applicationId: applicationIdSchema,
  createdAt: timestampSchema,
  trigger: triggerSchema,
  label: z.string().nullable(),
  state: imageStateSchema,
  /** Why it is not `ok`, in words. */
  stateReason: z.string().nullable(),
  path: z.string(),
  sizes: sizesSchema,
  fileBytes: byteCountSchema,
  /** How long the application stood still; null where only the file knows the image (catalog rebuilt). */
  pauseMs: millisecondsSchema.nullable(),
  durationMs: millisecondsSchema.nullable(),
  processes: z.number().int().min(0),
  threads: z.number().int().min(0).nullable(),
  compress: compressionSchema.nullable(),
  /** The image that this one is an increment of: its file is needed to restore this one. */
  parentId: imageIdSchema.nullable(),
  /**
   * The point before this one on its branch of the timeline: the image taken before it in the same
   * life, or the one that the life was restored from. Null for a first image after a clean start.
   */
  lineageParentId: imageIdSchema.nullable(),
  /** Which life of the application it was taken from; lives are counted from 1. */
  life: z.number().int().min(0),
  /** When every block of it was last read and found right. */
  verifiedAt: timestampSchema.nullable(),
  /** When an application was last brought back from it. */
  restoredAt: timestampSchema.nullable(),
  notes: z.array(z.string()),
  /** Never deleted but by an operator, one by one. */
  pinned: z.boolean(),
  /** Said of it by an operator, longer than a label. */
  remark: z.string().nullable(),
  /** Since when it is known that a life of it, or the one it was taken from, went on well. */
  healthyAt: timestampSchema.nullable(),
  /** Occurrences for which it is not chosen any more, because lives of it failed soon. */
  suspectFor: z.array(occurrenceSchema),
  /** How many lives of it failed soon since one was healthy. */
  failures: z.number().int().min(0),
});
export type ImageRecord = z.infer<typeof imageRecordSchema>;

/** What only the catalog knows of an image, as it is when the image is new. */
export function newImageMarks(): Pick<
  ImageRecord,
  "pinned" | "remark" | "healthyAt" | "suspectFor" | "failures"
> {
  return { pinned: false, remark: null, healthyAt: null, suspectFor: [], failures: 0 };
}
