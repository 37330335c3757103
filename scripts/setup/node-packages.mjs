// npm's packages as the lock file pins them, and the one native module that has to be compiled here.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

import { nodePath, outputOf, run } from "../command.mjs";
import { checkout } from "../paths.mjs";
import { Setback } from "../setback.mjs";

/**
 * @typedef {{version?: string, integrity?: string, optional?: boolean, dev?: boolean}} Locked
 */

/** @param {(text: string) => void} say */
export async function bringNodePackages(say) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) {
    throw new Setback(
      `Node ${process.versions.node} is too old: 20.19 or later is needed to begin with`,
      "Install a current Node.js (20 or later); the project then brings the one that it pins.",
    );
  }
  if (!isInstalled()) {
    say("installing npm packages");
    // Run from npm, its own script is at hand; else take it from the path.
    const npm = process.env.npm_execpath;
    const command = npm?.endsWith(".js") === true ? [process.execPath, npm] : ["npm"];
    const result = await run([...command, "ci", "--ignore-scripts", "--loglevel=error"], {
      timeLimitSeconds: 1200,
    });
    if (result.status !== 0) {
      throw new Setback(
        "npm's packages could not be installed",
        "Check that the package registry can be reached (npm ping), then start again.",
        result.tail,
      );
    }
  }
  await compileTerminalModule(say);
}

/**
 * Whether node_modules is what the lock file says. npm leaves a lock file of its own there, written last.
 */
function isInstalled() {
  const wanted = readLock("package-lock.json");
  const present = readLock("node_modules/.package-lock.json");
  return wanted !== undefined && present !== undefined && matchesLock(wanted, present);
}

/**
 * Whether what is installed is what is locked; an optional package may be for another kind of machine.
 * @param {Record<string, Locked>} wanted
 * @param {Record<string, Locked>} present
 */
export function matchesLock(wanted, present) {
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    // The project itself.
    if (path === "") return true;
    const found = present[path];
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

/**
 * @param {string} path
 * @returns {Record<string, Locked> | undefined}
 */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(join(checkout, path), "utf8")).packages;
  } catch {
    return undefined;
  }
}

/**
 * node-pty ships no Linux binary. It is N-API, so the headers of any Node will do.
 * @param {(text: string) => void} say
 */
async function compileTerminalModule(say) {
  const module = join(checkout, "node_modules/node-pty");
  const loads = () =>
    existsSync(join(module, "build/Release/pty.node")) &&
    outputOf([nodePath(), "-e", `require(${JSON.stringify(module)})`]) !== undefined;
  if (loads()) return;

  say("compiling node-pty");
  const headers = headersFolder();
  const result = await run(
    [
      nodePath(),
      join(checkout, "node_modules/node-gyp/bin/node-gyp.js"),
      "rebuild",
      ...(headers === undefined ? [] : [`--nodedir=${headers}`]),
    ],
    { cwd: module, timeLimitSeconds: 600 },
  );
  if (!loads()) {
    throw new Setback(
      "node-pty, the terminal's native module, could not be compiled",
      headers === undefined
        ? "It needs Node's header files. Install them (on Debian: apt-get install libnode-dev) or set npm_config_nodedir to a folder that has include/node, then start again."
        : `It was tried with the header files in ${headers}/include/node. Check the compiler's message above.`,
      result.tail,
    );
  }
}

/** Where Node's headers lie, if anywhere; without them node-gyp tries to download some. */
function headersFolder() {
  const besideNode = dirname(dirname(realpathSync(process.execPath)));
  return [process.env.npm_config_nodedir, besideNode, "/usr", "/usr/local"].find(
    (folder) => folder !== undefined && existsSync(join(folder, "include/node/node_api.h")),
  );
}
