import { describe, expect, it } from "vitest";
import type { Command } from "./command.js";
import { commandHelp, generalHelp, parseCommandLine } from "./command-line.js";

function command(name: string, change: Partial<Command> = {}): Command {
  return {
    name,
    summary: `does ${name}`,
    arguments: [],
    options: {},
    run: () => Promise.resolve(0),
    ...change,
  };
}

const commands = [
  command("apps"),
  command("image show", {
    arguments: [{ name: "ID", kind: "image" }],
    options: { tree: { type: "boolean", help: "tree" } },
  }),
  command("image delete", { arguments: [{ name: "ID", kind: "image" }] }),
  command("inspect", {
    arguments: [{ name: "APP", kind: "application", optional: true }],
    options: { pid: { type: "string", value: "PID", help: "pid" } },
  }),
];

describe("parseCommandLine", () => {
  it("finds commands of one and two words, with options anywhere", () => {
    expect(parseCommandLine(commands, ["--json", "apps"])).toMatchObject({
      command: { name: "apps" },
      json: true,
    });
    expect(parseCommandLine(commands, ["image", "show", "--tree", "abcd"])).toMatchObject({
      command: { name: "image show" },
      invocation: { positionals: ["abcd"], options: { tree: true } },
    });
    expect(parseCommandLine(commands, ["inspect", "--pid", "12"])).toMatchObject({
      invocation: { options: { pid: "12" } },
    });
  });

  it.each([
    [["nope"], 'There is no command "nope".'],
    [["inspcet"], 'There is no command "inspcet". Did you mean "inspect"?'],
    [["imgae", "show"], 'Did you mean "image show"?'],
    [["--json"], "A command is missing."],
    [["image", "show", "wxyz"], '"wxyz" is no image'],
    [["image", "show", "abc"], '"abc" is no image'],
    [["inspect", "Ward"], 'There is no application "Ward".'],
    [["image"], '"image" needs to know what to do: image show, image delete.'],
    [["image", "show"], "image show needs ID."],
    [["apps", "x"], 'apps does not know what to do with "x".'],
    [["apps", "--bogus"], "Unknown option '--bogus'."],
    [["--bogus"], "There is no option --bogus."],
  ])("refuses %j in words", (args, message) => {
    expect(() => parseCommandLine(commands, args)).toThrow(message);
  });

  it("takes an image's id in capital letters for what it is", () => {
    expect(parseCommandLine(commands, ["image", "show", "ABCD12"]).invocation.positionals).toEqual([
      "abcd12",
    ]);
  });

  it("gives help without its arguments", () => {
    expect(parseCommandLine(commands, ["image", "show", "--help"]).help).toBe(true);
  });
});

it("prints help", () => {
  expect(generalHelp(commands)).toContain("image show ID");
  expect(commandHelp(commands[3] ?? command(""))).toContain(
    "Usage: torpor inspect [APP] [OPTIONS]",
  );
});
