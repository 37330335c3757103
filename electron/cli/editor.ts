/** The operator's editor, as other command line programs find and start it. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { fail } from "../contract/index.js";

/**
 * $VISUAL, else $EDITOR, else the first that there is: a program and its arguments.
 *
 * @throws FailureError with code `resource` when there is none.
 */
export function editorCommand(environment: NodeJS.ProcessEnv): readonly [string, ...string[]] {
  const [program, ...args] = (environment.VISUAL ?? environment.EDITOR ?? "")
    .split(/\s+/)
    .filter(Boolean);
  const found = program ?? ["editor", "vi", "nano"].find((name) => isThere(name, environment));
  return found === undefined
    ? fail("resource", {
        happened: "There is no editor.",
        unchanged: "Nothing was changed.",
        remedy: "Set EDITOR to one, or use: torpor policy show, torpor policy save.",
      })
    : [found, ...args];
}

function isThere(name: string, environment: NodeJS.ProcessEnv): boolean {
  return (environment.PATH ?? "").split(":").some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @throws FailureError when it can't be started, or says by its exit status that it failed. */
export async function editFile(
  [program, ...args]: readonly [string, ...string[]],
  file: string,
): Promise<void> {
  const problem = await new Promise<string | null>((resolve) => {
    const child = spawn(program, [...args, file], { stdio: "inherit" });
    child.on("error", ({ message }) => resolve(message));
    child.on("exit", (code, signal) =>
      resolve(code === 0 ? null : `it ended with ${signal ?? `exit status ${String(code)}`}`),
    );
  });
  if (problem !== null) {
    fail("resource", {
      happened: `The editor ${program} failed: ${problem}.`,
      unchanged: "Nothing was changed.",
    });
  }
}
