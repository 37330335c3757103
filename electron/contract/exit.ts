/** How an application's root process ended, as the capsule's init reports it in exit.json. */
import { timestampSchema } from "./identifiers.js";
import { z } from "./validation.js";

export const exitReportSchema = z.object({
  endedAt: timestampSchema,
  exitStatus: z.number().int().nullable(),
  signal: z.number().int().nullable(),
  signalName: z.string().nullable(),
  /** Why, where it was ended on purpose, such as "hibernated". */
  reason: z.string().nullish(),
});
export type ExitReport = z.infer<typeof exitReportSchema>;
