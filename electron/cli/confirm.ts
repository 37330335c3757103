/** Asks before something is lost, where there is a person to answer. */
import { createInterface } from "node:readline/promises";
import { fail } from "../contract/index.js";

export interface Question {
  /** What will be lost, as a question. */
  readonly question: string;
  /** What needs the answer, for whoever can't be asked. */
  readonly about: string;
}

/**
 * True where a person says so, and without asking where standard input is no terminal: a script has decided already.
 *
 * @throws FailureError with code `usage` for a person who would not see the question: standard error is no terminal.
 */
export async function confirm({ question, about }: Question): Promise<boolean> {
  if (!process.stdin.isTTY) return true;
  if (!process.stderr.isTTY) {
    fail("usage", {
      happened: `${about}, and the question would not be seen: standard error is no terminal.`,
      unchanged: "Nothing was changed.",
      remedy: "With --yes it is done without asking.",
    });
  }
  return ask(`${question} [y/N] `, false);
}

/** A question that has a usual answer; that one where nobody can be asked. */
export async function ask(question: string, usual: boolean): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    return usual;
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-D and Ctrl-C answer nothing: that is a no.
  const given = new AbortController();
  reader.once("close", () => given.abort());
  reader.once("SIGINT", () => reader.close());
  try {
    const answer = (await reader.question(question, { signal: given.signal })).trim();
    return answer === "" ? usual : /^y(es)?$/i.test(answer);
  } catch {
    process.stderr.write("\n");
    return false;
  } finally {
    reader.close();
  }
}
