// CRIU, the peer, of a newer Debian than this one: unpacked beside its own libraries into a folder of ours, so that
// nothing of the system changes. Debian 12's own does not start on current kernels.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { run } from "../scripts/command.mjs";
import { cacheFolder } from "../scripts/paths.mjs";
import { Setback } from "../scripts/setback.mjs";

const suite = "trixie";
const folder = join(cacheFolder, "bench/criu");
const program = join(folder, "usr/sbin/criu");

/**
 * Brings it where it is missing.
 * @returns {Promise<string>} the path of its program
 */
export async function bringCriu() {
  if (!existsSync(program)) await unpack();
  const check = await run([program, "check"]);
  if (check.status !== 0) {
    throw new Setback(
      "CRIU does not work on this machine",
      `It says why: ${program} check`,
      check.tail,
    );
  }
  return program;
}

async function unpack() {
  const work = `${folder}.new`;
  await rm(work, { recursive: true, force: true });
  for (const each of ["lists/partial", "archives/partial", "root"]) {
    await mkdir(join(work, each), { recursive: true });
  }
  await writeFile(join(work, "status"), "");
  await writeFile(join(work, "sources.list"), sources());
  const options = [
    `Dir::Etc::SourceList=${work}/sources.list`,
    "Dir::Etc::SourceParts=-",
    "Dir::Etc::PreferencesParts=-",
    `Dir::State::Lists=${work}/lists`,
    `Dir::State::Status=${work}/status`,
    `Dir::Cache::Archives=${work}/archives`,
    `Dir::Cache::pkgcache=${work}/pkgcache.bin`,
    `Dir::Cache::srcpkgcache=${work}/srcpkgcache.bin`,
    "APT::Install-Recommends=false",
    "APT::Sandbox::User=root",
  ].flatMap((option) => ["-o", option]);
  await must(["apt-get", ...options, "update"], "the list of packages could not be fetched");
  await must(
    ["apt-get", ...options, "--yes", "--download-only", "install", "criu"],
    "CRIU's packages could not be fetched",
  );
  for (const name of await readdir(join(work, "archives"))) {
    if (name.endsWith(".deb")) {
      await must(
        ["dpkg", "-x", join(work, "archives", name), join(work, "root")],
        `${name} is broken`,
      );
    }
  }
  if ((await run(["which", "patchelf"])).status !== 0) {
    await must(
      ["apt-get", "install", "--yes", "--quiet", "patchelf"],
      "patchelf could not be installed",
    );
  }
  await rm(folder, { recursive: true, force: true });
  await rename(join(work, "root"), folder);
  await rm(work, { recursive: true, force: true });
  await settle();
}

/** The system's own mirror, asked for another suite. */
function sources() {
  const files = ["/etc/apt/sources.list", ...partsOf("/etc/apt/sources.list.d")];
  for (const file of files.filter((each) => existsSync(each))) {
    const uri = /^(?:URIs:|deb(?: \[[^\]]*\])?) *(https?:\S*\/debian)\/?(?:\s|$)/mu.exec(
      readFileSync(file, "utf8"),
    )?.[1];
    if (uri !== undefined)
      return `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${uri} ${suite} main\n`;
  }
  throw new Setback("no Debian mirror is set up here", "Add one to /etc/apt/sources.list.");
}

/** @param {string} path */
function partsOf(path) {
  return existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : [];
}

/** Has the program and its libraries find each other instead of the system's. */
async function settle() {
  const libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib"]
    .map((each) => join(folder, each))
    .filter((each) => existsSync(each));
  const loader = ["usr/lib64", "lib64", "usr/lib/x86_64-linux-gnu"]
    .map((each) => join(folder, each, "ld-linux-x86-64.so.2"))
    .find((each) => existsSync(each));
  if (loader === undefined)
    throw new Setback("CRIU's packages hold no dynamic loader", "Report this.");
  const rpath = libraries.join(":");
  for (const library of libraries) {
    for (const name of readdirSync(library)) {
      const path = join(library, name);
      if (!name.includes(".so") || !statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
      // The loader and libc know themselves; text files of that name are no libraries.
      if (/^(?:ld-|libc\.so)/u.test(name)) continue;
      await run(["patchelf", "--set-rpath", rpath, path]);
    }
  }
  await must(
    ["patchelf", "--set-interpreter", loader, "--set-rpath", rpath, program],
    "CRIU's program could not be adapted",
  );
}

/**
 * @param {string[]} command
 * @param {string} failure
 */
async function must(command, failure) {
  const result = await run(command);
  if (result.status !== 0) {
    throw new Setback(failure, `Try it by hand: ${command.join(" ")}`, result.tail);
  }
}
