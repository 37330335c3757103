// The programs under test, compiled when their source is newer.
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { run } from "../scripts/command.mjs";
import { cacheFolder, checkout } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";

/** @param {string} name Of a file in `bench/targets`, without its ending. */
export function targetProgram(name) {
  return join(cacheFolder, "bench", name);
}

/**
 * @param {string} name Of a file in `bench/targets`, without its ending.
 * @param {{sources?: string[], flags?: string[]}} [more] What else it is compiled from and with.
 * @returns {Promise<string>} The program.
 */
export async function compileTarget(name, { sources = [], flags = [] } = {}) {
  const binary = targetProgram(name);
  const all = [join(checkout, `bench/targets/${name}.c`), ...sources];
  const built = statSync(binary, { throwIfNoEntry: false });
  if (built !== undefined && all.every((source) => built.mtimeMs > statSync(source).mtimeMs)) {
    return binary;
  }
  mkdirSync(join(cacheFolder, "bench"), { recursive: true });
  const result = await run([
    ..."cc -std=gnu11 -O2 -Wall -Wextra -Werror -pthread".split(" "),
    ...flags,
    "-o",
    binary,
    ...all,
  ]);
  if (result.status !== 0) {
    throw new Setback(`${name}.c could not be compiled`, "See above.", result.tail);
  }
  return binary;
}
