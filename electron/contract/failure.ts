/**
 * Errors as data. Everything that can go wrong has a code from this list, a message that an admin can
 * act on, and, where there is more to say, a detail. No stack trace crosses a process.
 */
import { applicationIdSchema, imageIdSchema, operationIdSchema, pidSchema } from "./identifiers.js";
import { z } from "./validation.js";

/** Exit status of the helper, and of the CLI where the agent hands the failure on. */
export const exitStatusOfHelperCode = {
  usage: 2,
  blocked: 3,
  damaged: 4,
  foreign: 4,
  incompatible: 4,
  "parent-missing": 4,
  "no-such-process": 5,
  "no-such-capsule": 5,
  "no-room": 6,
  "pid-taken": 6,
  resource: 6,
  "no-picture": 6,
  cancelled: 6,
  busy: 6,
  "not-permitted": 7,
  internal: 70,
} as const;

/** Code → exit status of the CLI: the helper's, and the agent's own. */
export const exitStatusOfCode = {
  ...exitStatusOfHelperCode,
  "invalid-message": 2,
  "unknown-method": 2,
  "invalid-params": 2,
  "message-too-large": 2,
  "ambiguous-image": 2,
  "failed-to-load": 2,
  "image-missing": 4,
  "no-such-application": 5,
  "no-such-image": 5,
  "no-such-operation": 5,
  "no-such-terminal": 5,
  "no-such-display": 5,
  "not-running": 5,
  "not-hibernated": 5,
  "already-running": 6,
  "in-use": 6,
  "no-terminal": 6,
  "no-display": 6,
  "store-unusable": 6,
  "too-many": 6,
  "start-failed": 6,
  inhibited: 6,
  "agent-unreachable": 6,
} as const;

export type HelperErrorCode = keyof typeof exitStatusOfHelperCode;
export type FailureCode = keyof typeof exitStatusOfCode;

export const failureCodeSchema = z.enum(
  Object.keys(exitStatusOfCode) as [FailureCode, ...FailureCode[]],
);

/** One thing in a tree that can't be captured (a blocker) or may not come back as it was (a warning). */
export const blockerSchema = z.object({
  /** Machine-readable kind, such as `socket-inet`. */
  code: z.string(),
  pid: pidSchema.nullable().catch(null),
  comm: z.string().nullable().catch(null),
  /** The descriptor or mapping, such as `fd 5 → TCP 127.0.0.1:80`. */
  subject: z.string().catch(""),
  message: z.string(),
  remedy: z.string().nullable().catch(null),
});
export type Blocker = z.infer<typeof blockerSchema>;

/** The message taken apart, for a display that lays its parts out, and what it is about. */
export const failureDetailSchema = z.object({
  /** What happened, and to what. */
  happened: z.string().optional(),
  /** What is still as it was. */
  unchanged: z.string().optional(),
  /** What to do about it. */
  remedy: z.string().optional(),
  applicationId: applicationIdSchema.optional(),
  imageId: imageIdSchema.optional(),
  /** The operation that stands in the way, with code `busy`. */
  operationId: operationIdSchema.optional(),
  blockers: z.array(blockerSchema).optional(),
  /** The key or parameter that is wrong, with code `invalid-params` or `failed-to-load`. */
  key: z.string().optional(),
});
export type FailureDetail = z.infer<typeof failureDetailSchema>;

export const failureSchema = z.object({
  code: failureCodeSchema,
  /** All of it in sentences: what happened, what is still as it was, what to do. */
  message: z.string(),
  detail: failureDetailSchema.nullable(),
});
export type Failure = z.infer<typeof failureSchema>;

/** A failure on its way through code that throws. */
export class FailureError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.message, options);
    this.name = "FailureError";
    this.failure = failure;
  }

  get code(): FailureCode {
    return this.failure.code;
  }
}

/** Builds a failure whose message is its parts put together, so that the two never disagree. */
export function describeFailure(
  code: FailureCode,
  parts: {
    happened: string;
    unchanged?: string | undefined;
    remedy?: string | undefined;
  } & Omit<FailureDetail, "happened" | "unchanged" | "remedy">,
): Failure {
  const message = [parts.happened, parts.unchanged, parts.remedy]
    .filter((part): part is string => part !== undefined && part !== "")
    .join(" ");
  return { code, message, detail: { ...parts } };
}

/** Throws a failure built by {@link describeFailure}. */
export function fail(...args: Parameters<typeof describeFailure>): never {
  throw new FailureError(describeFailure(...args));
}

/** Any thrown value as a failure; what is not one of ours is a defect of ours. */
export function toFailure(error: unknown): Failure {
  if (error instanceof FailureError) {
    return error.failure;
  }
  const reason = error instanceof Error ? error.message : String(error);
  return describeFailure("internal", {
    happened: `Torpor hit a defect of its own: ${reason}.`,
    remedy: "The log of the agent has more; please report it.",
  });
}
