/** Finds the command that a command line means, checks its arguments, and prints help. */
import { parseArgs } from "node:util";
import { applicationIdPattern, fail } from "../contract/index.js";
import type { ArgumentKind, Command, Invocation, OptionDefinition } from "./command.js";
import { nearest } from "./nearest.js";

export const globalOptions: Readonly<Record<string, OptionDefinition>> = {
  json: { type: "boolean", help: "the result as JSON, for scripts" },
  help: { type: "boolean", short: "h", help: "this page" },
};

export interface ParsedCommandLine {
  readonly command: Command;
  readonly invocation: Invocation;
  readonly json: boolean;
  readonly help: boolean;
}

/** @throws FailureError with code `usage`. */
export function parseCommandLine(
  commands: readonly Command[],
  args: readonly string[],
): ParsedCommandLine {
  const { command, rest } = findCommand(commands, args);
  const { values, positionals } = parse(command, rest);
  const help = values.help === true;
  if (!help) {
    checkArguments(command, positionals);
  }
  return {
    command,
    invocation: help ? { positionals, options: values } : read(command, positionals, values),
    json: values.json === true,
    help,
  };
}

function findCommand(
  commands: readonly Command[],
  args: readonly string[],
): { command: Command; rest: string[] } {
  // `torpor --json apps` is as good as `torpor apps --json`.
  const leading = args.findIndex((word) => !word.startsWith("-"));
  const before = leading === -1 ? [...args] : args.slice(0, leading);
  const words = leading === -1 ? [] : args.slice(leading);
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(" ");
    const command =
      words.length >= length ? commands.find((each) => each.name === name) : undefined;
    if (command !== undefined) {
      return { command, rest: [...before, ...words.slice(length)] };
    }
  }
  const [first = "", second] = words;
  const below = commands
    .filter((each) => each.name.startsWith(`${first} `))
    .map((each) => each.name);
  return fail("usage", {
    happened:
      first === ""
        ? before.length === 0 || before.every((word) => word.slice(2) in globalOptions)
          ? "A command is missing."
          : `There is no option ${before[0] ?? ""}.`
        : below.length > 0 && second !== undefined
          ? `There is no command "${first} ${second}"; there are ${below.join(", ")}.`
          : below.length > 0
            ? `"${first}" needs to know what to do: ${below.join(", ")}.`
            : `There is no command "${first}".${meant(commands, first, second)}`,
    remedy: "See: torpor --help",
  });
}

function meant(commands: readonly Command[], first: string, second = ""): string {
  const names = commands.filter((each) => each.hidden !== true).map((each) => each.name);
  const found =
    nearest(`${first} ${second}`.trim(), names) ??
    nearest(first, [...new Set(names.map((name) => name.split(" ")[0] ?? ""))]);
  return found === null ? "" : ` Did you mean "${found}"?`;
}

function parse(
  command: Command,
  args: string[],
): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, ...globalOptions }).map(([name, { type, short }]) => [
      name,
      { type, ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({
      args,
      options,
      allowPositionals: true,
      strict: true,
    });
    return { values: values, positionals };
  } catch (error) {
    // The message's second sentence explains how to pass such a word all the same: too much here.
    const reason = (error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "";
    return fail("usage", {
      happened: `${reason.replace(/\.$/, "")}.`,
      remedy: `See: torpor ${command.name} --help`,
    });
  }
}

function checkArguments(command: Command, positionals: readonly string[]): void {
  if (command.hidden === true) {
    return;
  }
  const needed = command.arguments.filter((each) => each.optional !== true).length;
  if (positionals.length < needed) {
    fail("usage", {
      happened: `${command.name} needs ${command.arguments[positionals.length]?.name ?? "more arguments"}.`,
      remedy: `Usage: ${usageOf(command)}`,
    });
  }
  if (positionals.length > command.arguments.length) {
    fail("usage", {
      happened: `${command.name} does not know what to do with "${positionals[command.arguments.length] ?? ""}".`,
      remedy: `Usage: ${usageOf(command)}`,
    });
  }
}

/** What can be told to be wrong without asking the agent; an id in capital letters is as good. */
function read(
  command: Command,
  positionals: readonly string[],
  options: Invocation["options"],
): Invocation {
  const image = options.image;
  return {
    positionals: positionals.map((word, index) => readWord(command.arguments[index]?.kind, word)),
    options: typeof image === "string" ? { ...options, image: readWord("image", image) } : options,
  };
}

function readWord(kind: ArgumentKind | undefined, word: string): string {
  if (kind === "image") {
    const id = word.toLowerCase();
    return /^[0-9a-f]{4,32}$/.test(id)
      ? id
      : fail("usage", {
          happened: `"${word}" is no image: it must be the first 4 to 32 hexadecimal digits of an id.`,
          remedy: "An application's images: torpor images APP",
        });
  }
  if (kind === "application" && !applicationIdPattern.test(word)) {
    fail("no-such-application", {
      happened: `There is no application "${word}".`,
      remedy:
        'An id is the name of its file in apps.d without .toml: a to z, 0 to 9, "-" and "_". See: torpor apps',
    });
  }
  return word;
}

export function usageOf(command: Command): string {
  const args = command.arguments.map(({ name, optional }) =>
    optional === true ? `[${name}]` : name,
  );
  const options = Object.keys(command.options).length === 0 ? [] : ["[OPTIONS]"];
  return ["torpor", command.name, ...args, ...options].join(" ");
}

export function commandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, ...globalOptions }).map(
    ([name, option]): [string, string] => [
      `${option.short === undefined ? "   " : `-${option.short},`} --${name}${option.value === undefined ? "" : ` ${option.value}`}`,
      option.help,
    ],
  );
  return [
    command.summary,
    "",
    `Usage: ${usageOf(command)}`,
    ...(command.details === undefined ? [] : ["", command.details]),
    "",
    "Options:",
    ...columns(options),
    "",
  ].join("\n");
}

export function generalHelp(commands: readonly Command[]): string {
  const rows = commands
    .filter((command) => command.hidden !== true)
    .map((command): [string, string] => [
      [
        command.name,
        ...command.arguments.map(({ name, optional }) => (optional === true ? `[${name}]` : name)),
      ].join(" "),
      command.summary,
    ]);
  return [
    "torpor: hibernates running applications and wakes them again",
    "",
    "Usage: torpor COMMAND [ARGUMENTS] [OPTIONS]",
    "",
    "Commands:",
    ...columns(rows),
    "",
    "Every command has --help, and --json for scripts. An image is named by the first digits of its id.",
    "",
    "Environment:",
    ...columns([
      ["TORPOR_HOME", "the folder with the agent's state, where it is not the system's"],
      ["TORPOR_DETACH_KEY", 'the key that leaves "attach" (default ctrl-])'],
      ["NO_COLOR", "no colours"],
    ]),
    "",
    "Exit status:",
    ...columns([
      ["0", "done"],
      ["2", "the command line, or a file in apps.d, is wrong"],
      ["3", "the application has something that can't be captured"],
      ["4", "the image is damaged, missing, foreign, or from another kind of machine"],
      ["5", "no such application, image or process, or it does not run"],
      ["6", "no room, busy, cancelled, or something else is missing, such as the agent"],
      ["7", "not permitted"],
      ["70", "a defect of Torpor"],
    ]),
    "",
  ].join("\n");
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`);
}
