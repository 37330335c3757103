/** Every event of the operator socket: a JSON-RPC notification, sent after `events.subscribe`. */
import { applicationRecordSchema, measurementSchema } from "./application.js";
import { exitReportSchema } from "./exit.js";
import {
  applicationIdSchema,
  displayIdSchema,
  imageIdSchema,
  terminalIdSchema,
  terminalSideSchema,
} from "./identifiers.js";
import { imageRecordSchema } from "./image.js";
import { occurrenceRecordSchema } from "./occurrence.js";
import { operationRecordSchema } from "./operation.js";
import { noticeSchema } from "./system.js";
import { z } from "./validation.js";

export const events = {
  /** Also sent for an application that is new. */
  "application.changed": z.object({ application: applicationRecordSchema }),
  /** Its file is gone, it doesn't run, and no image of it is left. */
  "application.removed": z.object({ applicationId: applicationIdSchema }),
  /** New sizes of a running tree that this connection watches. */
  "application.measured": z.object({
    applicationId: applicationIdSchema,
    measurement: measurementSchema,
  }),
  "image.added": z.object({ image: imageRecordSchema }),
  "image.changed": z.object({ image: imageRecordSchema }),
  "image.removed": z.object({ imageId: imageIdSchema, applicationId: applicationIdSchema }),
  /** Start, progress (at most ten a second) and end of an operation. */
  "operation.changed": z.object({ operation: operationRecordSchema }),
  /** Something happened to an application, with what is done about it and why. */
  "occurrence.added": z.object({ occurrence: occurrenceRecordSchema }),
  "occurrence.changed": z.object({ occurrence: occurrenceRecordSchema }),
  "notice.added": z.object({ notice: noticeSchema }),
  /** Somebody has read it; null: all of them. */
  "notice.removed": z.object({ noticeId: noticeSchema.shape.id.nullable() }),
  /**
   * Bytes for a terminal that this connection opened. A snapshot repaints everything and begins by
   * clearing screen and scrollback itself. Sent without a subscription, like the other terminal events.
   */
  "terminal.output": z.object({
    terminal: terminalIdSchema,
    kind: z.enum(["snapshot", "output"]),
    /** base64: output may be cut in the middle of a character. */
    data: z.base64(),
  }),
  "terminal.resized": z.object({
    terminal: terminalIdSchema,
    cols: terminalSideSchema,
    rows: terminalSideSchema,
  }),
  "terminal.closed": z.object({
    terminal: terminalIdSchema,
    reason: z.enum(["closed", "ended", "stopped", "hibernated", "lost"]),
    /** For people. */
    message: z.string(),
    exit: exitReportSchema.nullable(),
  }),
  /** Bytes of RFB for a display that this connection has started. Sent without a subscription. */
  "display.output": z.object({ display: displayIdSchema, data: z.base64() }),
  /** Its capsule has ended, its server has hung up, or this connection has closed it. */
  "display.closed": z.object({ display: displayIdSchema }),
} as const satisfies Record<string, z.ZodType>;

export type EventName = keyof typeof events;
export type EventPayload<E extends EventName> = z.output<(typeof events)[E]>;

export const eventNameSchema = z.enum(Object.keys(events) as [EventName, ...EventName[]]);

export function isEventName(name: string): name is EventName {
  return Object.hasOwn(events, name);
}
