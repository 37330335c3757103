// Brings whatever a checkout lacks, in order, and only that: Debian packages, npm packages, the helper's
// release build, the bundles, an Electron runtime. A second run finds all of it there within seconds.
import { join } from "node:path";

import { nodePath, run } from "./command.mjs";
import { checkout, isMain } from "./paths.mjs";
import { runScript, Setback } from "./setback.mjs";
import { buildNativeHelper } from "./setup/native-helper.mjs";
import { bringBundles } from "./setup/bundles.mjs";
import { bringDebianPackages } from "./setup/debian-packages.mjs";
import { bringNodePackages } from "./setup/node-packages.mjs";

/** @param {string} text */
function say(text) {
  console.log(`setup: ${text}`);
}

/**
 * @param {{panel: boolean, tests: boolean, largePrograms?: boolean}} parts whether the panel, the tests, and those
 *   of large programs (some 1.5 GB) will be run
 */
export async function setup(parts) {
  if (process.platform !== "linux") {
    throw new Setback(
      "Torpor runs on Linux only",
      "It works on the Linux kernel's own interfaces.",
    );
  }
  await bringDebianPackages(
    [
      "build",
      ...(parts.panel ? /** @type {const} */ (["panel"]) : []),
      ...(parts.tests ? /** @type {const} */ (["tests"]) : []),
      ...(parts.largePrograms === true ? /** @type {const} */ (["largePrograms"]) : []),
    ],
    say,
  );
  await bringNodePackages(say);
  await buildNativeHelper(say);
  await bringBundles(say);
  if (parts.panel) await bringElectron();
}

/** In a process of its own: its tools need the pinned Node, which may have been installed a moment ago. */
async function bringElectron() {
  const result = await run(
    [nodePath(), join(checkout, "scripts/electron-runtime.mjs"), "--quiet"],
    {
      onLine: (line) => say(line),
    },
  );
  if (result.status !== 0) {
    throw new Setback("there is no Electron runtime to run the panel on", "The reason is above.");
  }
}

if (isMain(import.meta.url)) {
  await runScript(async () => {
    const started = Date.now();
    const largePrograms = process.argv.includes("--large-programs");
    await setup({
      panel: true,
      tests: largePrograms || process.argv.includes("--tests"),
      largePrograms,
    });
    say(`all there (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  });
}
