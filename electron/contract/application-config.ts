/**
 * What a file in apps.d may say. The file is written by a person, so keys are in the field's
 * kebab-case, durations are written as "10s", and whatever is not known here is refused: a key with
 * a typing error must not be a silent no-op.
 */
import {
  captureConfigSchema,
  healthConfigSchema,
  keepConfigSchema,
  policyKeysOfTable,
  recoveryConfigSchema,
  restoreConfigSchema,
} from "./policy-config.js";
import { durationSchema } from "./quantity.js";
import { z } from "./validation.js";

const noControl = /^[^\p{Cc}]*$/u;
// A NUL would end the string for the kernel; the program would see another value than the file says.
const noNul = /^[^\0]*$/;

/** "1280x800" as its two sides. */
const displaySchema = z.string().transform((text, context) => {
  const match = /^(\d{2,5})x(\d{2,5})$/.exec(text);
  const width = Number(match?.[1]);
  const height = Number(match?.[2]);
  if (match === null || width < 64 || height < 64 || width > 7680 || height > 4320) {
    context.addIssue({
      code: "custom",
      message: 'must be WIDTHxHEIGHT in pixels, such as "1280x800", from 64x64 to 7680x4320',
    });
    return z.NEVER;
  }
  return { width, height };
});

export const applicationConfigSchema = z
  .strictObject({
    name: z
      .string()
      .min(1, "must not be empty")
      .max(100, "must be at most 100 characters")
      .regex(noControl, "must not contain control characters")
      .optional(),
    command: z
      .array(z.string().regex(noNul, "must not contain a NUL character"))
      .min(1, "must name a program")
      .max(4096, "must have at most 4096 elements")
      .refine((command) => command[0] !== "", "must name a program: its first element is empty"),
    terminal: z.boolean().default(false),
    display: displaySchema.optional(),
    cwd: z
      .string()
      .regex(/^\/[^\0]*$/, "must be an absolute path")
      .optional(),
    user: z
      .string()
      .regex(/^[a-z_][a-z0-9_.-]{0,31}\$?$|^\d{1,10}$/i, "must be the name or number of a user")
      .optional(),
    env: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable"),
        z.string().regex(noNul, "must not contain a NUL character"),
      )
      .default({}),
    /** auto: the agent starts it, or wakes it from where it was hibernated, when the agent starts. */
    start: z.enum(["manual", "auto"]).default("manual"),
    /** Lower comes first: in lists, and when several are started. */
    order: z.number().int("must be a whole number").min(-1000).max(1000).default(0),
    "stop-grace": durationSchema(undefined, "10m").default(10_000),
    capture: captureConfigSchema.prefault({}),
    restore: restoreConfigSchema.prefault({}),
    keep: keepConfigSchema.prefault({}),
    /** Present: the application is supervised and brought back by itself. */
    recovery: recoveryConfigSchema.optional(),
    health: healthConfigSchema.prefault({}),
  })
  .refine((config) => !(config.terminal && config.display !== undefined), {
    path: ["display"],
    message:
      "cannot stand beside terminal = true: an application has a terminal, a display or neither",
  });

/** A validated apps.d file: defaults filled in, durations in milliseconds, the display taken apart. */
export type ApplicationConfig = z.infer<typeof applicationConfigSchema>;

/** The keys that each table may have; `''` is the file's top level. For naming the nearest known key. */
export const knownKeysOfTable: Readonly<Record<string, readonly string[]>> = {
  "": [
    "name",
    "command",
    "terminal",
    "display",
    "cwd",
    "user",
    "env",
    "start",
    "order",
    "stop-grace",
    "capture",
    "restore",
    "keep",
    "recovery",
    "health",
  ],
  ...policyKeysOfTable,
};
