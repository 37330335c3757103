// What tests may leave behind on a machine and must not: stopped, traced or forgotten processes, frozen cgroups,
// swap files, mounts, capsule folders, objects of IPC, connections whose peers are kept waiting. Looked at before and after a run.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { helperPath } from "../paths.mjs";

/** An environment variable that everything started by a test run inherits, restored processes included. */
export const runMarker = "TORPOR_TEST_RUN";

/** Ended processes may take a moment to be reaped, and mounts to go with their namespace. */
const graceMs = 15_000;

/** Chromium removes each name as soon as it is made; a panel that ends right then leaves an empty one. */
const ofChromium = /^\.org\.chromium\./;

/** @typedef {{mounts: Set<string>, swaps: Set<string>, cgroups: Set<string>, haltedPids: Set<number>, capsules: Set<string>, ipc: Set<string>, waitingPeers: number}} Traces */

/** @returns {Traces} */
export function lookAround() {
  return {
    mounts: new Set(mountPoints()),
    swaps: new Set(swapAreas()),
    cgroups: new Set(torporCgroups()),
    haltedPids: new Set(haltedProcesses().map((each) => each.pid)),
    capsules: new Set(capsuleFolders("/run/torpor")),
    ipc: new Set(ipcObjects()),
    waitingPeers: waitingPeers(),
  };
}

/**
 * What is there now that was not there before, in words; empty when all is clean. Waits a little for what is
 * still going away.
 * @param {Traces} before
 * @param {string} run the marker's value
 * @param {string} scratch the run's folder for temporary files
 * @param {number} [waitMs]
 */
export async function leftoversSince(before, run, scratch, waitMs = graceMs) {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const found = difference(before, run, scratch);
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(500);
  }
}

/**
 * Ends what a run has left running, so that a failed run harms no later one.
 * @param {string} run
 */
export function endMarkedProcesses(run) {
  for (const { pid } of markedProcesses(run)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

/**
 * @param {Traces} before
 * @param {string} run
 * @param {string} scratch
 */
function difference(before, run, scratch) {
  const now = lookAround();
  const added = (/** @type {Set<string>} */ old, /** @type {Set<string>} */ current) =>
    [...current].filter((each) => !old.has(each));
  return [
    ...markedProcesses(run).map(({ pid, comm }) => `process ${pid} (${comm}) still runs`),
    ...haltedProcesses()
      .filter(({ pid }) => !before.haltedPids.has(pid))
      .map(({ pid, comm, state }) => `process ${pid} (${comm}) is ${state}`),
    ...added(before.mounts, now.mounts).map((each) => `${each} is still mounted`),
    ...added(before.swaps, now.swaps).map((each) => `${each} is still used as swap`),
    ...added(before.cgroups, now.cgroups).map((each) => `cgroup ${each} is still there`),
    ...added(before.ipc, now.ipc).map((each) => `${each} is still there`),
    ...(now.waitingPeers > before.waitingPeers
      ? [`the network is locked for ${now.waitingPeers - before.waitingPeers} more connections`]
      : []),
    ...[...added(before.capsules, now.capsules), ...capsulesIn(scratch)].map(
      (each) => `capsule folder ${each} is still there`,
    ),
  ];
}

/** @returns {{pid: number, comm: string, state: string}[]} */
function processes() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = read(`/proc/${name}/stat`);
      // The name may hold blanks and brackets; what follows the last bracket does not.
      const end = stat.lastIndexOf(")");
      if (end < 0) return [];
      const comm = stat.slice(stat.indexOf("(") + 1, end);
      return [{ pid: Number(name), comm, state: stat.charAt(end + 2) }];
    });
}

function haltedProcesses() {
  return processes()
    .filter(({ state }) => state === "T" || state === "t")
    .map((each) => ({ ...each, state: each.state === "t" ? "held by a tracer" : "stopped" }));
}

/** @param {string} run */
function markedProcesses(run) {
  const mark = `${runMarker}=${run}`;
  return processes().filter(
    ({ pid, state }) =>
      state !== "Z" &&
      pid !== process.pid &&
      read(`/proc/${pid}/environ`).split("\0").includes(mark),
  );
}

function mountPoints() {
  return read("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((each) => each !== "");
}

function swapAreas() {
  return read("/proc/swaps")
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? "")
    .filter((each) => each !== "");
}

/**
 * Every cgroup of ours in the v2 tree, wherever that is mounted, that holds a process or is frozen. An empty one is
 * what an init leaves that a test has killed: the next capsule to start takes it away, and so does this.
 */
function torporCgroups() {
  const mount = read("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" "))
    .find((fields) => fields[fields.indexOf("-") + 1] === "cgroup2")?.[4];
  if (mount === undefined) return [];
  const ours = cgroupsBelow(join(mount, "torpor"));
  const held = ours.filter((each) =>
    /^(populated|frozen) 1$/m.test(read(join(each, "cgroup.events"))),
  );
  // The innermost first; one that is in use refuses.
  for (const each of ours.toReversed()) {
    if (!held.includes(each)) removeQuietly(each);
  }
  return held;
}

/** @param {string} folder */
function removeQuietly(folder) {
  try {
    rmdirSync(folder);
  } catch {
    // Somebody has begun to use it.
  }
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function cgroupsBelow(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name))
      .flatMap((path) => [path, ...cgroupsBelow(path)]);
  } catch {
    // It went away while we looked.
    return [];
  }
}

/** TCP connections whose packets are dropped until their programs are back; the kernel tells the helper. */
function waitingPeers() {
  const { stdout } = spawnSync(helperPath, ["check"], { encoding: "utf8", timeout: 10_000 });
  return Number(/(\d+) connections are kept waiting/.exec(stdout ?? "")?.[1] ?? 0);
}

/** System V objects by kind and id, POSIX semaphores, shared memory and message queues by name. */
function ipcObjects() {
  const kinds = { shm: "shared memory", sem: "semaphores", msg: "message queue" };
  const systemV = Object.entries(kinds).flatMap(([table, kind]) =>
    read(`/proc/sysvipc/${table}`)
      .split("\n")
      .slice(1)
      .filter((line) => line !== "")
      .map((line) => `System V ${kind} ${line.trim().split(/\s+/).slice(0, 2).join(":")}`),
  );
  return [...systemV, ...["/dev/shm", "/dev/mqueue"].flatMap(filesIn)];
}

/** @param {string} folder */
function filesIn(folder) {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.filter((name) => !ofChromium.test(name)).map((name) => join(folder, name));
}

/** @param {string} runFolder */
function capsuleFolders(runFolder) {
  const folder = join(runFolder, "capsules");
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

/**
 * Capsules of homes that tests made in their scratch folder.
 * @param {string} scratch
 */
function capsulesIn(scratch) {
  if (!existsSync(scratch)) return [];
  return readdirSync(scratch).flatMap((name) => [
    ...capsuleFolders(join(scratch, name)),
    ...capsuleFolders(join(scratch, name, "run")),
  ]);
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
