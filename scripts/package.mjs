// `npm run package`: the product in out/, with --deb as a Debian package as well. It is built on the Electron that
// package.json pins; the registry's runtime, which is for tests, only when asked for by name: --electron=registry.
import { cp, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { hasProgram, nodePath, run, toolEnvironment } from "./command.mjs";
import { findElectronRuntime, packageVersion } from "./electron-runtime.mjs";
import { cacheFolder, checkout } from "./paths.mjs";
import { runScript, Setback } from "./setback.mjs";
import { setup } from "./setup.mjs";

const zips = join(cacheFolder, "electron-zips");

await runScript(async () => {
  const options = process.argv.slice(2);
  await setup({ panel: true, tests: false });
  const runtime = findElectronRuntime();
  if (runtime === undefined) throw new Setback("there is no Electron runtime", "npm run setup");
  /** @type {Record<string, string>} */
  let settings = {};
  if (runtime.kind !== "package") {
    if (!options.includes(`--electron=${runtime.kind}`)) {
      throw new Setback(
        `only a runtime for development and tests is at hand (${runtime.kind}, Electron ${runtime.version}), and a package is not built on that`,
        "Package where the pinned Electron can be downloaded. To build a package for trying out all the same:\n" +
          `npm run package -- --electron=${runtime.kind}`,
      );
    }
    console.log(
      `NOTE: this package is built on Electron ${runtime.version} (${runtime.kind}). Never ship it.`,
    );
    await zip(dirname(runtime.executablePath));
    settings = { TORPOR_PACKAGE_ELECTRON_ZIPS: zips };
  }
  const asDebianPackage = options.includes("--deb");
  if (asDebianPackage && !(hasProgram("fakeroot") && hasProgram("dpkg"))) {
    throw new Setback("a Debian package needs dpkg and fakeroot", "apt-get install dpkg fakeroot");
  }
  const result = await run(
    [
      nodePath(),
      join(checkout, "node_modules/@electron-forge/cli/dist/electron-forge.js"),
      asDebianPackage ? "make" : "package",
    ],
    { env: { ...toolEnvironment(), ...settings }, show: true, timeLimitSeconds: 1200 },
  );
  if (result.status !== 0) {
    throw new Setback("the package could not be built", "What Electron Forge says is above.");
  }
  console.log(`The result is in ${join(checkout, "out")}`);
});

/**
 * A runtime as the archive that the packager would have downloaded, under the pinned version's name: Forge
 * looks for no other.
 * @param {string} folder
 */
async function zip(folder) {
  const plain = join(zips, "plain");
  await rm(zips, { recursive: true, force: true });
  await mkdir(zips, { recursive: true });
  await cp(folder, plain, { recursive: true });
  await rm(join(plain, ".recipe"), { force: true });
  const archive = join(zips, `electron-v${packageVersion()}-linux-${process.arch}.zip`);
  // Python's own archiver keeps permission bits, and Python is there for node-gyp anyway.
  const result = await run(["sh", "-c", `python3 -m zipfile -c "${archive}" *`], { cwd: plain });
  await rm(plain, { recursive: true, force: true });
  if (result.status !== 0) {
    throw new Setback("the runtime could not be packed", "Is there room on the disk?", result.tail);
  }
}
