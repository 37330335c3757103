// Calls the helper as the agent does: arguments in, JSON lines out.
import { spawn } from "node:child_process";

import { helperPath } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";

/**
 * @param {string[]} args
 * @param {string} home TORPOR_HOME
 * @returns {Promise<Record<string, any>>} its result
 */
export function callHelper(args, home) {
  return new Promise((resolve, reject) => {
    const child = spawn(helperPath, args, {
      env: { ...process.env, TORPOR_HOME: home },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 120_000,
    });
    let output = "";
    let log = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk) => (log += chunk));
    child.on("error", (error) => {
      reject(
        new Setback(
          `${helperPath} could not be started: ${error.message}`,
          "Build it: npm run setup",
        ),
      );
    });
    child.on("exit", (status) => {
      const last = output.trimEnd().split("\n").at(-1) ?? "";
      if (status === 0) {
        resolve(JSON.parse(last));
        return;
      }
      reject(
        new Setback(
          `torpor-helper ${args[0] ?? ""} ended with status ${status}: ${last}`,
          "Run the same call by hand to see more.",
          log,
        ),
      );
    });
  });
}
