// Debian's packages that building, the panel and the tests need: asks dpkg what is missing, and apt for just that.
import { readdirSync } from "node:fs";

import { hasProgram, outputOf, run } from "../command.mjs";
import { Setback } from "../setback.mjs";

/**
 * What each part needs. Alternatives (newer releases renamed some) are separated by a bar, the first is the one to ask for.
 */
const needs = {
  build: ["build-essential", "python3"],
  panel: [
    "libgtk-3-0|libgtk-3-0t64",
    "libnss3",
    "libasound2|libasound2t64",
    "libgbm1",
    "libxss1",
    "fonts-dejavu-core",
  ],
  tests: [
    "xvfb",
    "xauth",
    "vim|vim-nox|vim-gtk3",
    "procps",
    "bash",
    // The real programs that are captured under load.
    "redis-server",
    "postgresql",
    "sqlite3",
    "nginx-light|nginx|nginx-full|nginx-extras",
    "openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless",
    "tmux",
    "make",
    "openssh-client",
    "tigervnc-standalone-server",
    "x11-utils",
    "x11-apps",
    "xdotool",
    "xterm",
    "python3-tk",
    "mousepad",
    "featherpad",
  ],
  largePrograms: ["libreoffice-writer", "libreoffice-gtk3", "firefox-esr|firefox", "chromium"],
};

/** @typedef {keyof typeof needs} Part */

/**
 * @param {Part[]} parts
 * @param {(text: string) => void} say
 */
export async function bringDebianPackages(parts, say) {
  const wanted = parts.flatMap((part) => needs[part]);
  // Many machines have a Go that is not Debian's.
  if (parts.includes("tests") && !hasProgram("go")) wanted.push("golang-go");
  if (!hasProgram("dpkg-query") || !hasProgram("apt-get")) {
    checkPrograms(parts);
    return;
  }
  const missing = missingOf(wanted);
  if (missing.length === 0) return;

  say(`installing Debian packages: ${missing.join(" ")}`);
  const asRoot = process.getuid?.() === 0 ? [] : sudo(missing);
  const install = [
    ...asRoot,
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=300",
    "install",
    "-y",
    "--no-install-recommends",
    ...missing,
  ];
  // Lists that were never fetched know no package; stale ones name versions that are gone.
  let result = hasPackageLists() ? await run(install, { timeLimitSeconds: 900 }) : undefined;
  if (result === undefined || result.status !== 0) {
    const update = await run(
      [...asRoot, "apt-get", "-o", "DPkg::Lock::Timeout=300", "update", "-qq"],
      { timeLimitSeconds: 600 },
    );
    if (update.status === 0) result = await run(install, { timeLimitSeconds: 900 });
    else result ??= update;
  }
  const still = missingOf(wanted);
  if (still.length > 0) {
    throw new Setback(
      `these Debian packages could not be installed: ${still.join(" ")}`,
      `Install them as root, then start again:\napt-get update && apt-get install ${still.join(" ")}`,
      result.tail,
    );
  }
}

/** @param {string[]} wanted */
function missingOf(wanted) {
  const names = wanted.flatMap((name) => name.split("|"));
  // Exits non-zero when it doesn't know one of them, and still lists the others.
  const listed = installedAmong(names);
  return wanted
    .filter((name) => !name.split("|").some((alternative) => listed.has(alternative)))
    .map((name) => name.split("|").find(isKnownToApt) ?? name.split("|")[0] ?? name);
}

/** @param {string[]} names */
function installedAmong(names) {
  /** @type {Set<string>} */
  const installed = new Set();
  const all = outputOf(["dpkg-query", "-W", "-f=${db:Status-Abbrev}\t${Package}\n"]) ?? "";
  for (const line of all.split("\n")) {
    const [status, name] = line.split("\t");
    if (status?.startsWith("ii") === true && name !== undefined && names.includes(name)) {
      installed.add(name);
    }
  }
  return installed;
}

/** @param {string} name */
function isKnownToApt(name) {
  return (outputOf(["apt-cache", "policy", name]) ?? "").includes("Candidate:");
}

function hasPackageLists() {
  try {
    return readdirSync("/var/lib/apt/lists").some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}

/** @param {string[]} missing */
function sudo(missing) {
  if (!hasProgram("sudo")) {
    throw new Setback(
      `these Debian packages are missing, and only root can install them: ${missing.join(" ")}`,
      `As root: apt-get update && apt-get install ${missing.join(" ")}\nThen start again.`,
    );
  }
  // Without a terminal nobody can type a password.
  return process.stdin.isTTY ? ["sudo"] : ["sudo", "-n"];
}

/**
 * On another distribution: check for the programs at least, so that the message comes before a compiler's.
 * @param {Part[]} parts
 */
function checkPrograms(parts) {
  /** @type {string[]} */
  const programs = ["python3", "make", "g++", "cc"];
  if (parts.includes("tests")) programs.push("Xvfb", "vim");
  const missing = programs.filter((program) => !hasProgram(program));
  if (missing.length > 0) {
    throw new Setback(
      `these programs are missing: ${missing.join(" ")}`,
      "This is not a Debian system, so install them with its own package manager, then start again.",
    );
  }
}
