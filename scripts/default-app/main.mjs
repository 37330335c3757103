// What a plain Electron does when it is started with an application's folder: become that application.
// Packed into the registry's runtime by scripts/electron-runtime.mjs. A module with a top-level await,
// because Electron holds `ready` back until its first module has been evaluated to the end.
import { app } from "electron";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv.slice(1).find((argument) => !argument.startsWith("-"));

try {
  if (folder === undefined) throw new Error("usage: electron APPLICATION-FOLDER");
  const path = resolve(folder);
  const about = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
  app.setName(about.productName ?? about.name);
  if (about.version !== undefined) app.setVersion(about.version);
  app.setAppPath(path);
  await import(pathToFileURL(join(path, about.main ?? "index.js")).href);
} catch (error) {
  console.error(error);
  app.exit(1);
}
