/** The agent's own settings, agent.toml: optional, and so far only the list of stores. */
import { readFileSync } from "node:fs";
import { parse } from "smol-toml";
import { fail, z } from "../contract/index.js";

const settingsSchema = z.strictObject({
  /** Folders for images, filled in this order. */
  stores: z
    .array(z.string().regex(/^\/[^\0]*$/, "must be an absolute path"))
    .min(1, "must name at least one folder")
    .optional(),
});

export interface AgentSettings {
  readonly stores: readonly string[];
}

/** @throws FailureError with code `failed-to-load`: an agent that guessed its stores could fill the wrong disk. */
export function readSettings(file: string, defaultStore: string): AgentSettings {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return { stores: [defaultStore] };
    }
    return refuse(file, error instanceof Error ? error.message : String(error));
  }
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    return refuse(file, error instanceof Error ? error.message : String(error));
  }
  const parsed = settingsSchema.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return refuse(
      file,
      `${issue?.path.map(String).join(".") ?? ""} ${issue?.message ?? "is not valid"}`.trim(),
    );
  }
  return { stores: parsed.data.stores ?? [defaultStore] };
}

function refuse(file: string, reason: string): never {
  return fail("failed-to-load", {
    happened: `The agent's settings ${file} can't be used: ${reason}.`,
    unchanged: "The agent was not started; applications that run are not affected.",
    remedy: "Correct the file, or remove it to use the defaults.",
  });
}
