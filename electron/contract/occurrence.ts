/** Why an application was brought back from an image: the seed's "occurrence". */
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
  /** The machine was started after a clean shutdown. */
  "start-up",
  /** The machine was started after one that was not clean. */
  "power-loss",
  /** The agent was started after it had failed itself. */
  "agent-failure",
]);
export type Occurrence = z.infer<typeof occurrenceSchema>;
