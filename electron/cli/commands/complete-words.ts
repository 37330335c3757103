/** Called by the shells' completion: prints the words that can stand at the end of a command line. */
import type { ArgumentKind, Command, Context } from "../command.js";
import { wordsCommand } from "./completion.js";

/** Takes the commands as an argument: the list of all commands contains this one. */
export function completeWordsCommand(commands: () => readonly Command[]): Command {
  return {
    name: wordsCommand,
    summary: "Words for a shell's completion",
    hidden: true,
    arguments: [{ name: "WORD…", kind: "shell", optional: true }],
    options: {},
    async run({ positionals }, context) {
      const words = await complete(commands(), positionals, context);
      context.output.raw(words.map((word) => `${word}\n`).join(""));
      return 0;
    },
  };
}

async function complete(
  commands: readonly Command[],
  line: readonly string[],
  context: Context,
): Promise<string[]> {
  const visible = commands.filter((command) => command.hidden !== true);
  const done = line.slice(0, -1).filter((word) => !word.startsWith("-"));
  const current = line.at(-1) ?? "";
  const command = visible.find((each) => {
    const names = each.name.split(" ");
    return names.every((name, index) => done[index] === name);
  });
  if (command === undefined) {
    // The words of commands, at the place that is being typed.
    const index = done.length;
    const next = visible
      .map((each) => each.name.split(" "))
      .filter((names) => done.every((word, at) => names[at] === word))
      .flatMap((names) => names[index] ?? []);
    return [...new Set(index === 0 ? [...next, "help"] : next)];
  }
  if (current.startsWith("-")) {
    return [...Object.keys(command.options), "json", "help"].map((name) => `--${name}`);
  }
  const option = /^--(.+)$/.exec(line.at(-2) ?? "")?.[1];
  const definition = option === undefined ? undefined : command.options[option];
  if (definition?.type === "string") {
    return definition.choices === undefined
      ? await wordsOf(option === "image" ? "image" : option === "file" ? "file" : null, context)
      : [...definition.choices];
  }
  const position = done.length - command.name.split(" ").length;
  return wordsOf(command.arguments[position]?.kind ?? null, context);
}

async function wordsOf(kind: ArgumentKind | null, { agent }: Context): Promise<string[]> {
  switch (kind) {
    case "application": {
      const { applications } = await (await agent()).call("applications.list", {});
      return applications.map((each) => each.id);
    }
    case "image": {
      const { images } = await (await agent()).call("images.list", {});
      return images.map((each) => each.id.slice(0, 8));
    }
    case "notice": {
      const { notices } = await (await agent()).call("notices.list", {});
      return notices.map((each) => String(each.id));
    }
    case "operation": {
      const { operations } = await (await agent()).call("operations.list", { active: true });
      return operations.map((each) => each.id);
    }
    case "file":
      return ["@files"];
    case "folder":
      return ["@folders"];
    case "shell":
      return ["bash", "zsh", "fish"];
    case "text":
    case null:
      return [];
  }
}
