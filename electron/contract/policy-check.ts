/** What an application's file says about its policy, and what would come of it. */
import { configProblemSchema } from "./application.js";
import { applicationIdSchema, timestampSchema } from "./identifiers.js";
import { decisionSchema } from "./occurrence.js";
import { z } from "./validation.js";

export const policyFileSchema = z.object({
  file: z.string(),
  /** As it is on the disk, comments and all. */
  text: z.string(),
  /** Changes with the text: a save that was made from an older one is refused. */
  revision: z.string(),
});
export type PolicyFile = z.infer<typeof policyFileSchema>;

export const policyCheckSchema = z.object({
  applicationId: applicationIdSchema,
  /** Why the file can't be used; the rest then is as it was last configured. */
  problem: configProblemSchema.nullable(),
  /** Whether it is brought back by itself at all. */
  supervised: z.boolean(),
  /** When images are taken and which are kept, each a sentence for people. */
  captures: z.array(z.string()),
  keeps: z.array(z.string()),
  health: z.array(z.string()),
  /** When the next image by interval or calendar comes due; null: none, or it does not run. */
  nextCaptureAt: timestampSchema.nullable(),
  /** What would be done at the next crash, hang and start; null where nothing would be. */
  onCrash: decisionSchema.nullable(),
  onHang: decisionSchema.nullable(),
  onStart: decisionSchema.nullable(),
});
export type PolicyCheck = z.infer<typeof policyCheckSchema>;
