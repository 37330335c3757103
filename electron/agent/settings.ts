/** The agent's own settings, agent.toml: optional. */
import { readFileSync } from "node:fs";
import { bytesSchema, durationSchema, fail, z } from "../contract/index.js";
import { formatProblem, readTomlText } from "./applications/application-file.js";

const settingsSchema = z.strictObject({
  /** Folders for images, filled in this order. */
  stores: z
    .array(z.string().regex(/^\/[^\0]*$/, "must be an absolute path"))
    .min(1, "must name at least one folder")
    .optional(),
  keep: z
    .strictObject({
      /** All images of all applications together. */
      bytes: bytesSchema.optional(),
    })
    .prefault({}),
  start: z
    .strictObject({
      /** So many applications are brought back at once when the agent starts. */
      "at-once": z.number().int().min(1).max(64).default(4),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      /** What is not hibernated by then is left to the machine's own shutdown. */
      limit: durationSchema("1s", "1h").default(80_000),
    })
    .prefault({}),
});

const knownKeys: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(settingsSchema.shape),
  keep: ["bytes"],
  start: ["at-once"],
  shutdown: ["limit"],
};

export interface AgentSettings {
  readonly stores: readonly string[];
  /** Null: no bound but the volumes' own. */
  readonly keepBytes: number | null;
  readonly startAtOnce: number;
  readonly shutdownLimitMs: number;
}

function settingsOf(parsed: z.output<typeof settingsSchema>, defaultStore: string): AgentSettings {
  return {
    stores: parsed.stores ?? [defaultStore],
    keepBytes: parsed.keep.bytes ?? null,
    startAtOnce: parsed.start["at-once"],
    shutdownLimitMs: parsed.shutdown.limit,
  };
}

/** @throws FailureError with code `failed-to-load`: an agent that guessed its stores could fill the wrong disk. */
export function readSettings(file: string, defaultStore: string): AgentSettings {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return settingsOf(settingsSchema.parse({}), defaultStore);
    }
    return refuse(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const read = readTomlText(file, text, settingsSchema, knownKeys);
  return read.ok ? settingsOf(read.config, defaultStore) : refuse(formatProblem(read.problem));
}

function refuse(reason: string): never {
  return fail("failed-to-load", {
    happened: `The agent's settings can't be used: ${reason.replace(/[^.?!]$/, "$&.")}`,
    unchanged: "The agent was not started; applications that run are not affected.",
    remedy: "Correct the file, or remove it to use the defaults.",
  });
}
