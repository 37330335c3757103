// Bundles everything that runs on a JavaScript engine into dist/: agent, CLI, main, preload, renderer.
// `node scripts/build.mjs [agent|cli|main|preload|renderer|client]…` bundles only what is named.
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { checkout, isMain } from "./paths.mjs";
import { runScript, Setback } from "./setback.mjs";

/** Native modules are loaded from node_modules, and Electron is where it runs. */
const external = ["electron", "node-pty", "better-sqlite3"];

/**
 * Packages written for CommonJS still call require() inside an ESM bundle.
 */
const requireBanner =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/**
 * One bundle: where it starts, where it ends up, and for which engine.
 * @typedef {{name: string, entry: string, outfile: string, format: "esm" | "cjs", target: string, shebang?: boolean}} Bundle
 */

/** @type {Bundle[]} */
const bundles = [
  // better-sqlite3 needs Node 22: the agent never runs on the test runtime, whose Node is older.
  { ...bundle("agent", "electron/agent/agent.ts", "dist/agent/agent.js"), target: "node22" },
  // These run on whatever Electron there is, the test runtime's Node 20 included.
  { ...bundle("cli", "electron/cli/torpor.ts", "dist/cli/torpor.js"), shebang: true },
  bundle("main", "electron/main/main.ts", "dist/main/main.js"),
  {
    // A sandboxed preload can only be CommonJS.
    ...bundle("preload", "electron/preload/preload.ts", "dist/preload/preload.cjs"),
    format: "cjs",
  },
];

/**
 * @param {string} name
 * @param {string} entry
 * @param {string} outfile
 * @returns {Bundle}
 */
function bundle(name, entry, outfile) {
  return { name, entry, outfile, format: "esm", target: "node20.18" };
}

/**
 * zod carries its messages in fifty languages, none of which a bundler can leave out by itself, and ours are English.
 * They would be a third of the agent's bundle, which is read at every start.
 * @type {import("esbuild").Plugin}
 */
const onlyEnglish = {
  name: "only-english",
  setup(context) {
    context.onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
  },
};

/** The client that Node applications embed: one module without dependencies. Its types are built where it is packed. */
async function bundleClient() {
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: checkout,
    entryPoints: ["clients/node/src/index.ts"],
    outfile: "clients/node/dist/index.js",
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    logLevel: "silent",
  });
}

/** @param {Bundle} wanted */
async function bundleForNode(wanted) {
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: checkout,
    entryPoints: [wanted.entry],
    outfile: wanted.outfile,
    bundle: true,
    platform: "node",
    format: wanted.format,
    target: wanted.target,
    external,
    plugins: [onlyEnglish],
    sourcemap: true,
    sourcesContent: false,
    legalComments: "external",
    logLevel: "silent",
    banner:
      wanted.format === "esm"
        ? { js: (wanted.shebang === true ? "#!/usr/bin/env node\n" : "") + requireBanner }
        : {},
  });
  if (wanted.shebang === true) await chmod(join(checkout, wanted.outfile), 0o755);
}

async function bundleRenderer() {
  const vite = await import("vite");
  await vite.build({
    configFile: join(checkout, "vite.config.ts"),
    root: join(checkout, "renderer"),
    logLevel: "warn",
  });
}

/**
 * Builds the named bundles, or all of them.
 * @param {string[]} names
 */
export async function build(names = []) {
  const wants = (/** @type {string} */ name) => names.length === 0 || names.includes(name);
  const work = bundles.filter((each) => wants(each.name)).map(bundleForNode);
  if (wants("renderer")) work.push(bundleRenderer());
  if (wants("client")) work.push(bundleClient());
  await Promise.all(work);
  await mkdir(join(checkout, "dist"), { recursive: true });
  // The bundles are modules wherever the folder is copied to.
  await writeFile(join(checkout, "dist/package.json"), '{ "type": "module" }\n');
}

if (isMain(import.meta.url)) {
  await runScript(async () => {
    try {
      await build(process.argv.slice(2));
    } catch (error) {
      // Both bundlers have printed what is wrong, with file and line.
      throw new Setback(
        "the bundles could not be built",
        "What the bundler says is above.",
        error instanceof Error ? error.message : String(error),
      );
    }
  });
}
