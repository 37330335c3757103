/** What the agent tells about itself, its machine and its stores. */
import { byteCountSchema, pidSchema, timestampSchema } from "./identifiers.js";
import { z } from "./validation.js";

export const storeRecordSchema = z.object({
  path: z.string(),
  usable: z.boolean(),
  /** What is wrong with it and what to do; null when it is usable. */
  problem: z.string().nullable(),
  freeBytes: byteCountSchema.nullable(),
  totalBytes: byteCountSchema.nullable(),
});
export type StoreRecord = z.infer<typeof storeRecordSchema>;

export const systemInfoSchema = z.object({
  version: z.string(),
  protocolVersion: z.number().int(),
  pid: pidSchema,
  startedAt: timestampSchema,
  /** From the agent's start to the moment its socket answered. */
  readyMs: z.number(),
  /** TORPOR_HOME, where it is set. */
  home: z.string().nullable(),
  applicationsFolder: z.string(),
  libFolder: z.string(),
  runFolder: z.string(),
  helperPath: z.string(),
  kernel: z.string(),
  arch: z.string(),
  hostname: z.string(),
  bootId: z.string(),
  stores: z.array(storeRecordSchema),
});
export type SystemInfo = z.infer<typeof systemInfoSchema>;

/** One thing that this machine can or can't do, and what it is good for. */
export const featureSchema = z.object({
  name: z.string(),
  ok: z.boolean(),
  neededFor: z.string(),
  /** Without it nothing can be captured or restored; others add speed or comfort. */
  required: z.boolean().optional(),
  detail: z.string().nullable().catch(null),
  remedy: z.string().nullable().catch(null),
});
export type Feature = z.infer<typeof featureSchema>;

export const doctorReportSchema = z.object({
  ok: z.boolean(),
  kernel: z.string(),
  arch: z.string(),
  features: z.array(featureSchema),
  stores: z.array(storeRecordSchema),
  /** Applications whose file can't be used, in words. */
  applicationProblems: z.array(z.string()),
});
export type DoctorReport = z.infer<typeof doctorReportSchema>;

/** Something that an operator should know and did not ask for; kept until dismissed. */
export const noticeSchema = z.object({
  id: z.number().int().min(1),
  at: timestampSchema,
  severity: z.enum(["info", "warning", "error"]),
  applicationId: z.string().nullable(),
  message: z.string(),
});
export type Notice = z.infer<typeof noticeSchema>;

/** What was done to an application or an image, and how it ended. */
export const auditEntrySchema = z.object({
  id: z.number().int().min(1),
  at: timestampSchema,
  /** The kind of an operation, `delete` or `policy`. */
  action: z.string(),
  applicationId: z.string().nullable(),
  imageId: z.string().nullable(),
  /** `succeeded`, `cancelled: CODE` or `failed: CODE`, with the code of the failure. */
  outcome: z.string(),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;
