// Runs other programs for the scripts: with a time limit, the end of their output for a message, and Node 24 first on the path.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

import { checkout } from "./paths.mjs";

/** How much of a failed program's output a message quotes. */
const quotedLines = 25;

/** The Node that the project pins, once its packages are there; until then the one that runs this. */
export function nodePath() {
  const pinned = join(checkout, "node_modules/.bin/node");
  return existsSync(pinned) ? pinned : process.execPath;
}

/**
 * The environment for tools: pinned binaries first, and rustup's cargo also where no login shell set the path up.
 * @returns {NodeJS.ProcessEnv}
 */
export function toolEnvironment() {
  const path = [
    join(checkout, "node_modules/.bin"),
    process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    join(homedir(), ".cargo/bin"),
  ];
  return { ...process.env, PATH: path.join(delimiter) };
}

/**
 * Whether a program is on the path.
 * @param {string} program
 */
export function hasProgram(program) {
  return (toolEnvironment().PATH ?? "")
    .split(delimiter)
    .some((folder) => folder !== "" && existsSync(join(folder, program)));
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {number} [timeLimitSeconds]
 * @property {boolean} [show] let its output through as it comes
 * @property {(line: string) => void} [onLine] called for each line of its output
 * @property {AbortSignal} [signal]
 */

/**
 * Runs a program to its end.
 * @param {string[]} command an argument vector
 * @param {RunOptions} [options]
 * @returns {Promise<{status: number, tail: string, timedOut: boolean}>} a program ended by a signal has status 128 + its number, one that can't be started 127
 */
export function run(command, options = {}) {
  const [program, ...args] = command;
  if (program === undefined) throw new Error("an empty command");
  return new Promise((resolve) => {
    /** @type {string[]} */
    const lines = [];
    let timedOut = false;
    const child = spawn(program, args, {
      cwd: options.cwd ?? checkout,
      env: options.env ?? toolEnvironment(),
      // A group of its own, so that a time limit ends what it started as well.
      detached: options.timeLimitSeconds !== undefined,
      stdio: ["ignore", "pipe", "pipe"],
    });
    /** @param {NodeJS.Signals} signal */
    const end = (signal) => {
      try {
        if (child.pid === undefined) return;
        if (options.timeLimitSeconds === undefined) child.kill(signal);
        else process.kill(-child.pid, signal);
      } catch {
        // It has ended by itself.
      }
    };
    /** @type {NodeJS.Timeout[]} */
    const timers = [];
    if (options.timeLimitSeconds !== undefined) {
      timers.push(
        setTimeout(() => {
          timedOut = true;
          end("SIGTERM");
          timers.push(setTimeout(() => end("SIGKILL"), 10_000));
        }, options.timeLimitSeconds * 1000),
      );
    }
    const onAbort = () => end("SIGTERM");
    options.signal?.addEventListener("abort", onAbort);
    // A detached child does not get the terminal's Ctrl-C.
    const onInterrupt = () => end("SIGINT");
    process.on("SIGINT", onInterrupt);

    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8");
      stream.on("data", (/** @type {string} */ chunk) => {
        if (options.show === true) process.stdout.write(chunk);
        rest += chunk;
        const whole = rest.split("\n");
        rest = whole.pop() ?? "";
        for (const line of whole) take(line);
      });
      stream.on("end", () => {
        if (rest !== "") take(rest);
      });
    }
    /** @param {string} line */
    function take(line) {
      lines.push(line);
      if (lines.length > quotedLines) lines.shift();
      options.onLine?.(line);
    }

    let failedToStart = false;
    child.on("error", (error) => {
      failedToStart = true;
      lines.push(error.message);
    });
    child.on("close", (code, signal) => {
      for (const timer of timers) clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      process.off("SIGINT", onInterrupt);
      const status = failedToStart ? 127 : (code ?? 128 + signalNumber(signal));
      resolve({ status, tail: lines.join("\n"), timedOut });
    });
  });
}

/** @param {NodeJS.Signals | null} signal */
function signalNumber(signal) {
  const numbers = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGTERM: 15,
  };
  return signal !== null && signal in numbers
    ? numbers[/** @type {keyof typeof numbers} */ (signal)]
    : 0;
}

/**
 * A short command's output, or undefined when it fails.
 * @param {string[]} command
 * @returns {string | undefined}
 */
export function outputOf(command) {
  const [program = "", ...args] = command;
  const result = spawnSync(program, args, {
    encoding: "utf8",
    env: toolEnvironment(),
    timeout: 30_000,
  });
  return result.status === 0 ? result.stdout : undefined;
}
