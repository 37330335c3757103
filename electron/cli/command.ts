/** What a command of `torpor` is, and what it is given to work with. */
import type { AgentClient } from "../contract/client.js";
import { fail } from "../contract/index.js";
import type { Output } from "./output.js";

export interface OptionDefinition {
  readonly type: "string" | "boolean";
  readonly short?: string;
  /** Placeholder of the value in the help, such as `ID`. */
  readonly value?: string;
  readonly help: string;
  /** Words that can follow it, for the shell's completion. */
  readonly choices?: readonly string[];
}

/** What an argument names, so that the shell can complete it. */
export type ArgumentKind =
  "application" | "image" | "notice" | "operation" | "file" | "folder" | "text" | "shell";

export interface ArgumentDefinition {
  readonly name: string;
  readonly kind: ArgumentKind;
  readonly optional?: boolean;
}

export interface Invocation {
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
}

export interface Context {
  readonly output: Output;
  readonly environment: NodeJS.ProcessEnv;
  /** Connected at the first call; closed when the command has ended. */
  readonly agent: () => Promise<AgentClient>;
}

export interface Command {
  /** One or two words: `apps`, `image show`. */
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly ArgumentDefinition[];
  readonly options: Readonly<Record<string, OptionDefinition>>;
  /** More for its own help page: what it does not go without saying. */
  readonly details?: string;
  /** Left out of the list of commands. */
  readonly hidden?: boolean;
  /** The exit status. */
  run(invocation: Invocation, context: Context): Promise<number>;
}

export function textOption(invocation: Invocation, name: string): string | undefined {
  const value = invocation.options[name];
  return typeof value === "string" ? value : undefined;
}

export function flag(invocation: Invocation, name: string): boolean {
  return invocation.options[name] === true;
}

/** The option `--limit` of a list whose newest entries come first. */
export const limitOption: OptionDefinition = {
  type: "string",
  value: "N",
  help: "so many of the newest (default 20)",
};

/** @throws FailureError `usage` when `--limit` is no number that the agent takes. */
export function limitOf(invocation: Invocation): number {
  const limit = Number(textOption(invocation, "limit") ?? 20);
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
    fail("usage", { happened: "--limit must be a whole number from 1 to 10000." });
  }
  return limit;
}

/** An argument that the command's definition says is there. */
export function argument(invocation: Invocation, index: number): string {
  const value = invocation.positionals[index];
  if (value === undefined) {
    throw new Error(`argument ${index} is missing`);
  }
  return value;
}
