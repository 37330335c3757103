/** What pruning does to an image, or would do. */
import { imageRecordSchema } from "./image.js";
import { z } from "./validation.js";

export const pruneEntrySchema = z.object({
  image: imageRecordSchema,
  /** Why it goes, for people. */
  reason: z.string(),
  deleted: z.boolean(),
  /** Why it is still there though it was to go; null where nothing stood in the way. */
  kept: z.string().nullable(),
});
export type PruneEntry = z.infer<typeof pruneEntrySchema>;

/** An image that no rule wants, and that stays: it is pinned, another one builds on it … */
export const heldImageSchema = z.object({
  image: imageRecordSchema,
  /** Why it stays, for people. */
  reason: z.string(),
});
export type HeldImage = z.infer<typeof heldImageSchema>;
