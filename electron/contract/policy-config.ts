/**
 * The part of an application's file that says what happens without being asked for: when images are
 * taken, which are kept, how the application's health is judged, and how it is brought back.
 */
import { parseCalendar, type CalendarExpression } from "./calendar-expression.js";
import { compressionSchema } from "./identifiers.js";
import { triggerSchema, type Trigger } from "./image.js";
import { MAX_CHAIN_IMAGES, MAX_LABEL_LENGTH } from "./limits.js";
import { bytesSchema, durationSchema, parseDuration } from "./quantity.js";
import { z } from "./validation.js";

const calendarSchema = z
  .union([z.string(), z.array(z.string()).min(1).max(20)], {
    error: 'must be a calendar expression such as "*-*-* 03:00", or an array of them',
  })
  .transform((value, context): readonly CalendarExpression[] => {
    const expressions: CalendarExpression[] = [];
    for (const text of typeof value === "string" ? [value] : value) {
      const parsed = parseCalendar(text);
      if (!parsed.ok) {
        context.addIssue({ code: "custom", message: `"${text}" ${parsed.reason}` });
        return z.NEVER;
      }
      expressions.push(parsed.expression);
    }
    return expressions;
  });

export const captureConfigSchema = z.strictObject({
  compress: compressionSchema.default("none"),
  /** Bytes of memory that a capture reads in a second at most, while the application runs on. */
  rate: bytesSchema.optional(),
  /** What becomes of TCP connections that lead out of the application. */
  connections: z.enum(["keep", "reset", "refuse"]).default("keep"),
  /** Images hold what has changed since the one before them, and build on it. */
  incremental: z.boolean().default(false),
  /** So many images build on one another at most, the complete one included; the next one is complete. */
  "longest-chain": z
    .number()
    .int("must be a whole number")
    .min(2, "must be at least 2")
    .max(MAX_CHAIN_IMAGES, `must be at most ${MAX_CHAIN_IMAGES}`)
    .default(8),
  /** Time between two images of one life that are taken by themselves. */
  every: durationSchema("5s").optional(),
  calendar: calendarSchema.optional(),
  /** Once, when neither terminal nor processor have been used for so long. */
  "when-idle": durationSchema("5s").optional(),
  /** When the application says that its start-up is finished. */
  "after-ready": z.boolean().default(false),
  /** Hibernated when the machine shuts down. */
  "at-shutdown": z.boolean().default(false),
  /** Before every restore that replaces a running life, also where it isn't asked for. */
  "before-restore": z.boolean().default(false),
});
export type CaptureConfig = z.infer<typeof captureConfigSchema>;

export const restoreConfigSchema = z.strictObject({
  /** Where files that the application has open are not on disk what they were when the image was taken. */
  "changed-files": z.enum(["continue", "warn", "refuse"]).default("warn"),
});
export type ChangedFiles = z.infer<typeof restoreConfigSchema>["changed-files"];

const agesSchema = z.strictObject({
  /** All of this age and younger. */
  all: durationSchema("1s").optional(),
  /** The newest of each hour, day, week of this age and younger. */
  hourly: durationSchema("1h").optional(),
  daily: durationSchema("1d").optional(),
  weekly: durationSchema("1w").optional(),
});
export type AgeLadder = z.infer<typeof agesSchema>;

export const keepConfigSchema = z.strictObject({
  /** replace: a new image replaces the one before it, which goes once the new one is durable. */
  policy: z.enum(["keep", "replace"]).default("keep"),
  /** So many of the newest. */
  count: z
    .number()
    .int("must be a whole number")
    .min(1, "must be at least 1")
    .max(100_000)
    .optional(),
  ages: agesSchema.optional(),
  /** All images of the application together. */
  bytes: bytesSchema.optional(),
});
export type KeepConfig = z.infer<typeof keepConfigSchema>;

/** One rule of a selection: an image that meets all of its criteria, the newest first; or a clean start. */
export type SelectionRule =
  | { readonly kind: "start" }
  | {
      readonly kind: "image";
      readonly healthy: boolean;
      /** Taken at least so long before the occurrence. */
      readonly beforeMs: number | null;
      readonly label: string | null;
      readonly pinned: boolean;
      readonly trigger: Trigger | null;
    };

const ruleWords = ["newest", "newest-healthy", "pinned", "start"] as const;
const criteria = ["healthy", "before", "label", "pinned", "trigger"] as const;
const anyImage = {
  kind: "image",
  healthy: false,
  beforeMs: null,
  label: null,
  pinned: false,
  trigger: null,
} as const;

function ruleOfWord(word: (typeof ruleWords)[number]): SelectionRule {
  switch (word) {
    case "start":
      return { kind: "start" };
    case "newest":
      return anyImage;
    case "newest-healthy":
      return { ...anyImage, healthy: true };
    case "pinned":
      return { ...anyImage, pinned: true };
  }
}

/** Read by hand: a union of schemas could only say that none of them fits. */
const ruleSchema = z.unknown().transform((value, context): SelectionRule => {
  const refuse = (message: string): never => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  if (typeof value === "string") {
    const word = ruleWords.find((each) => each === value);
    return word === undefined
      ? refuse(
          `has "${value}", which is no rule; rules are ${ruleWords.join(", ")}, or a table such as { healthy = true, before = "2m" }`,
        )
      : ruleOfWord(word);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse(`must hold rules: ${ruleWords.join(", ")}, or tables with criteria`);
  }
  const rule = { ...anyImage } as {
    -readonly [K in keyof Extract<SelectionRule, { kind: "image" }>]: Extract<
      SelectionRule,
      { kind: "image" }
    >[K];
  };
  for (const [key, given] of Object.entries(value)) {
    if (key === "healthy" || key === "pinned") {
      if (given !== true) {
        return refuse(`has ${key} = ${JSON.stringify(given)}; it is true or left out`);
      }
      rule[key] = true;
    } else if (key === "before") {
      const milliseconds = typeof given === "string" ? parseDuration(given) : null;
      if (milliseconds === null) {
        return refuse('has a "before" that is no duration such as "2m"');
      }
      rule.beforeMs = milliseconds;
    } else if (key === "label") {
      if (typeof given !== "string" || given === "" || given.length > MAX_LABEL_LENGTH) {
        return refuse('has a "label" that is no text');
      }
      rule.label = given;
    } else if (key === "trigger") {
      const trigger = triggerSchema.safeParse(given);
      if (!trigger.success) {
        return refuse(`has a "trigger" that is none of ${triggerSchema.options.join(", ")}`);
      }
      rule.trigger = trigger.data;
    } else {
      return refuse(`has the criterion "${key}"; criteria are ${criteria.join(", ")}`);
    }
  }
  return rule;
});

/** As the file has it, or would have it. */
export function writeRule(rule: SelectionRule): string {
  if (rule.kind === "start") {
    return "start";
  }
  const parts = [
    ...(rule.healthy ? ["healthy = true"] : []),
    ...(rule.beforeMs === null ? [] : [`before = ${JSON.stringify(`${rule.beforeMs / 1000}s`)}`]),
    ...(rule.label === null ? [] : [`label = ${JSON.stringify(rule.label)}`]),
    ...(rule.pinned ? ["pinned = true"] : []),
    ...(rule.trigger === null ? [] : [`trigger = "${rule.trigger}"`]),
  ];
  const [only] = parts;
  switch (parts.length === 1 ? only : parts.length) {
    case 0:
      return "newest";
    case "healthy = true":
      return "newest-healthy";
    case "pinned = true":
      return "pinned";
    default:
      return `{ ${parts.join(", ")} }`;
  }
}

const rulesSchema = z.array(ruleSchema).max(50, "must have at most 50 rules");
const byDefault: readonly SelectionRule[] = [ruleOfWord("newest"), ruleOfWord("newest-healthy")];
const afterHang: readonly SelectionRule[] = [ruleOfWord("newest-healthy"), ruleOfWord("newest")];

export const DEFAULT_HEALTHY_AFTER_MS = 60_000;
export const DEFAULT_BACK_OFF_MS = 1000;
export const DEFAULT_LONGEST_BACK_OFF_MS = 5 * 60_000;

export const recoveryConfigSchema = z.strictObject({
  "on-crash": rulesSchema.default([...byDefault]),
  "on-hang": rulesSchema.default([...afterHang]),
  "on-start": rulesSchema.default([...byDefault]),
  "on-power-loss": rulesSchema.default([...byDefault]),
  "on-agent-failure": rulesSchema.default([...byDefault]),
  /** After every other rule: a clean start. */
  "clean-start": z.boolean().default(true),
  /** What becomes of it when the agent starts and it doesn't run. */
  "at-start": z.enum(["restore", "start", "nothing"]).optional(),
  /** An end with exit status 0: it wanted to end, or it is to be brought back like after a crash. */
  "on-exit": z.enum(["stop", "recover"]).default("stop"),
  /** A life that lasts so long is healthy, and so is the image that it came from. */
  "healthy-after": durationSchema("100ms").default(DEFAULT_HEALTHY_AFTER_MS),
  /** So many lives of an image may fail before it is suspect and not chosen any more. */
  "failures-per-image": z.number().int().min(1).max(100_000).default(1),
  /** How many older images a rule goes back to when its first one has failed. */
  "older-images": z.number().int().min(0).max(1000).default(1),
  /** How often a clean start may fail before the application is given up. */
  "start-failures": z.number().int().min(1).max(100_000).default(5),
  /** The pause before the second attempt after a failure; the first comes at once, each later one waits twice as long. */
  "back-off": durationSchema("10ms", "1h").default(DEFAULT_BACK_OFF_MS),
  /** No attempt waits longer. */
  "longest-back-off": durationSchema("10ms", "1d").default(DEFAULT_LONGEST_BACK_OFF_MS),
  /** Higher comes first when the agent starts. */
  priority: z.number().int().min(-1000).max(1000).default(0),
});
export type RecoveryConfig = z.infer<typeof recoveryConfigSchema>;

const probeKinds = ["command", "tcp", "http", "file"] as const;

export const probeConfigSchema = z
  .strictObject({
    /** Healthy when it exits with 0; run as the application's user, outside its capsule. */
    command: z
      .array(z.string().regex(/^[^\0]*$/))
      .min(1, "must name a program")
      .max(256)
      .optional(),
    /** Healthy when a connection is taken. */
    tcp: z
      .string()
      .regex(
        /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/,
        'must be HOST:PORT, such as "127.0.0.1:8080"',
      )
      .optional(),
    /** Healthy when it answers with a status from 200 to 399. */
    http: z
      .string()
      .regex(/^http:\/\/[^\s/]+/, 'must be an address such as "http://127.0.0.1:8080/health"')
      .optional(),
    /** Healthy when it was written to within `max-age`. */
    file: z
      .string()
      .regex(/^\/[^\0]*$/, "must be an absolute path")
      .optional(),
    "max-age": durationSchema("1s").optional(),
    interval: durationSchema("100ms").default(10_000),
    timeout: durationSchema("10ms", "5m").default(5000),
    /** So many failures in a row are a hang. */
    threshold: z.number().int().min(1).max(1000).default(3),
  })
  .refine((probe) => probeKinds.filter((kind) => probe[kind] !== undefined).length === 1, {
    message: `must have exactly one of ${probeKinds.join(", ")}`,
  })
  .refine((probe) => (probe.file === undefined) === (probe["max-age"] === undefined), {
    path: ["max-age"],
    message: 'belongs to "file", which needs it',
  });
export type ProbeConfig = z.infer<typeof probeConfigSchema>;

export const healthConfigSchema = z.strictObject({
  /** The longest time between two heartbeats of the application. */
  heartbeat: durationSchema("100ms").optional(),
  /** How long after its start an application may be silent and its probes may fail. */
  grace: durationSchema("0ms").default(60_000),
  probe: z
    .record(
      z.string().regex(/^[a-z0-9_-]{1,40}$/i, "must be a name of letters, digits, - and _"),
      probeConfigSchema,
    )
    .default({}),
});
export type HealthConfig = z.infer<typeof healthConfigSchema>;

/** The keys of these tables, for naming the nearest known one. `*` stands for a name of the admin's. */
export const policyKeysOfTable: Readonly<Record<string, readonly string[]>> = {
  capture: Object.keys(captureConfigSchema.shape),
  restore: Object.keys(restoreConfigSchema.shape),
  keep: Object.keys(keepConfigSchema.shape),
  "keep.ages": Object.keys(agesSchema.shape),
  recovery: Object.keys(recoveryConfigSchema.shape),
  health: Object.keys(healthConfigSchema.shape),
  "health.probe.*": Object.keys(probeConfigSchema.shape),
};
