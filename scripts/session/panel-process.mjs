// Runs the panel as an ordinary user, never as root. Where that user can't read the checkout (it lies in
// root's home, say), what the panel needs is laid out in a folder that anybody can read.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chownSync, copyFileSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { outputOf } from "../command.mjs";
import { electronRuntime } from "../electron-runtime.mjs";
import { checkout } from "../paths.mjs";
import { asAccount, operatorAccount } from "../privileges.mjs";
import { Setback } from "../setback.mjs";
import { hashOf, readStamp, writeStamp } from "../stamp.mjs";

/** What of the checkout the panel runs from. */
const panelParts = ["package.json", "dist", "assets/icons", "node_modules/node-pty"];

/** What the panel may know of this script's environment. */
const passedOn =
  /^(PATH|LANG|LANGUAGE|LC_.*|TZ|DISPLAY|WAYLAND_DISPLAY|XDG_SESSION_TYPE|XDG_CURRENT_DESKTOP|DBUS_SESSION_BUS_ADDRESS|TORPOR_.*)$/;

/**
 * Where the panel runs from, and who runs it.
 * @typedef {object} PanelPlace
 * @property {import("../privileges.mjs").Account} account
 * @property {string} executablePath
 * @property {string} appFolder
 * @property {string[]} args
 * @property {Record<string, string>} environment
 */

/** @returns {Promise<PanelPlace>} */
export async function preparePanel() {
  const account = operatorAccount();
  const runtime = electronRuntime();
  const asOther = asAccount(account).length > 0;
  /** @type {Record<string, string>} */
  const environment = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && passedOn.test(name)) environment[name] = value;
  }
  environment.USER = environment.LOGNAME = account.name;
  environment.HOME = account.home;
  const session = `/run/user/${account.uid}`;
  if (existsSync(session)) environment.XDG_RUNTIME_DIR = session;
  if (process.env.XAUTHORITY !== undefined) environment.XAUTHORITY = process.env.XAUTHORITY;

  let appFolder = checkout;
  let executablePath = runtime.executablePath;
  if (asOther) {
    const stage = stageFolder();
    const needed = [
      join(checkout, "dist/main/main.js"),
      join(checkout, "node_modules/node-pty/package.json"),
      executablePath,
    ];
    if (!needed.every((path) => isReadableBy(account, path))) {
      ({ appFolder, executablePath } = await layOut(stage, executablePath));
    }
    giveHome(account, stage, environment);
  }
  return {
    account,
    executablePath,
    appFolder,
    args: account.uid === 0 ? runtime.args : [],
    environment,
  };
}

/**
 * Opens the panel's window.
 * @param {PanelPlace} place
 * @param {string} home TORPOR_HOME
 * @returns {{ended: Promise<{status: number, output: string}>, stop: () => void}}
 */
export function openPanel(place, home) {
  const [program = "", ...args] = [
    ...asAccount(place.account),
    place.executablePath,
    ...place.args,
    place.appFolder,
  ];
  const child = spawn(program, args, {
    cwd: "/",
    env: { ...place.environment, TORPOR_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk) => {
      output = (output + chunk).slice(-4000);
    });
  }
  /** @type {Promise<{status: number, output: string}>} */
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve({ status: 127, output: error.message }));
    child.on("exit", (code) => resolve({ status: code ?? 128, output }));
  });
  return {
    ended,
    stop: () => {
      child.kill("SIGTERM");
    },
  };
}

/**
 * One executable that starts Electron as the ordinary user, for tests that run as root and hand a program's path on.
 * @param {PanelPlace} place
 * @returns {Promise<string>}
 */
export async function panelLauncher(place) {
  if (asAccount(place.account).length === 0) return place.executablePath;
  const launcher = join(stageFolder(), "electron-as-operator");
  const settings = Object.entries(place.environment)
    .filter(([name]) => ["HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR"].includes(name))
    .map(([name, value]) => quoted(`${name}=${value}`));
  const words = [...asAccount(place.account), "env", ...settings, quoted(place.executablePath)];
  await writeFile(launcher, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`);
  await chmod(launcher, 0o755);
  return launcher;
}

/** @param {string} word */
function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A folder of root's that everybody can read and nobody else can write, one per checkout. */
function stageFolder() {
  const hash = createHash("sha256").update(checkout).digest("hex").slice(0, 12);
  const folder = `/var/tmp/torpor-panel-${hash}`;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const found = lstatSync(folder);
  // Anybody may create names in /var/tmp: what somebody else put there is not run.
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new Setback(
      `${folder} is not a folder of ours, so the panel is not run from there`,
      `Look at what it is, remove it, then start again.`,
    );
  }
  return folder;
}

/**
 * @param {string} stage
 * @param {string} executablePath
 */
async function layOut(stage, executablePath) {
  const runtimeFolder = join(executablePath, "..");
  const appFolder = join(stage, "app");
  const runtimeCopy = join(stage, "electron");
  const stampFile = join(stage, ".inputs");
  const inputs = `${hashOf(panelParts)} ${executablePath} ${electronRuntime().version}`;
  if (readStamp(stampFile) !== inputs) {
    rmSync(stampFile, { force: true });
    rmSync(appFolder, { recursive: true, force: true });
    rmSync(runtimeCopy, { recursive: true, force: true });
    mkdirSync(join(appFolder, "node_modules"), { recursive: true });
    for (const part of panelParts) copyTree(join(checkout, part), join(appFolder, part));
    copyTree(runtimeFolder, runtimeCopy);
    await writeStamp(stampFile, inputs);
  }
  return { appFolder, executablePath: join(runtimeCopy, "electron") };
}

/**
 * @param {string} source
 * @param {string} destination
 */
function copyTree(source, destination) {
  mkdirSync(dirname(destination), { recursive: true });
  // cp shares the blocks where the file system can, and keeps modes; hundreds of megabytes otherwise.
  if (
    outputOf(["cp", "-a", "--reflink=auto", "--no-preserve=ownership", source, destination]) ===
    undefined
  ) {
    throw new Setback(
      `${source} could not be copied to ${destination}, where the panel's user can read it`,
      "Check that there is room, or put the checkout where ordinary users can read it.",
    );
  }
}

/**
 * @param {import("../privileges.mjs").Account} account
 * @param {string} path
 */
function isReadableBy(account, path) {
  return outputOf([...asAccount(account), "test", "-r", path]) !== undefined;
}

/**
 * The panel keeps its window's place in its home; an account without one gets one here. A display's key that
 * only root can read is handed on.
 * @param {import("../privileges.mjs").Account} account
 * @param {string} stage
 * @param {Record<string, string>} environment
 */
function giveHome(account, stage, environment) {
  const own = join(stage, `home-${account.uid}`);
  mkdirSync(own, { recursive: true, mode: 0o700 });
  chownSync(own, account.uid, account.gid);
  if (outputOf([...asAccount(account), "test", "-w", account.home]) === undefined) {
    environment.HOME = own;
  }
  const key = process.env.XAUTHORITY ?? `${process.env.HOME ?? "/root"}/.Xauthority`;
  if (existsSync(key) && !isReadableBy(account, key)) {
    const copy = join(own, ".Xauthority");
    copyFileSync(key, copy);
    chownSync(copy, account.uid, account.gid);
    environment.XAUTHORITY = copy;
  }
}
