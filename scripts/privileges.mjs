// Who runs what: the agent needs root, the panel must not have it. Finds the ordinary user, and the words that become one or the other.
import { readFileSync } from "node:fs";

import { hasProgram, outputOf } from "./command.mjs";
import { Setback } from "./setback.mjs";

/** @typedef {{uid: number, gid: number, name: string, home: string}} Account */

export const isRoot = process.getuid?.() === 0;

/**
 * The ordinary user whom the panel belongs to: who runs this, or who called sudo, or the machine's first
 * ordinary account, or nobody.
 * @returns {Account}
 */
export function operatorAccount() {
  const accounts = readAccounts();
  const byUid = (/** @type {number | undefined} */ uid) =>
    accounts.find((account) => account.uid === uid);
  const own = byUid(process.getuid?.());
  if (!isRoot && own !== undefined) return own;
  const caller = process.env.SUDO_UID;
  return (
    (caller !== undefined && caller !== "0" ? byUid(Number(caller)) : undefined) ??
    accounts.find((account) => account.uid >= 1000 && account.uid < 60_000) ??
    byUid(65534) ?? { uid: 65534, gid: 65534, name: "nobody", home: "/nonexistent" }
  );
}

/** @returns {Account[]} */
function readAccounts() {
  return readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => fields.length >= 7)
    .map(([name = "", , uid, gid, , home = "/"]) => ({
      name,
      uid: Number(uid),
      gid: Number(gid),
      home,
    }));
}

/**
 * What to put before a command so that it runs as this account. Empty when it is who we are.
 * @param {Account} account
 * @returns {string[]}
 */
export function asAccount(account) {
  if (!isRoot || account.uid === 0) return [];
  return [
    "setpriv",
    "--reuid",
    String(account.uid),
    "--regid",
    String(account.gid),
    "--init-groups",
    "--inh-caps=-all",
    "--no-new-privs",
  ];
}

/**
 * What to put before a command so that it runs as root with the named variables. Asks for the password at
 * once, where one is needed, and not in the middle of something.
 * @param {Record<string, string>} variables
 * @returns {string[]}
 */
export function asRoot(variables) {
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  if (isRoot) return ["env", ...assignments];
  const how =
    "Run it as root, or allow your user to use sudo. The agent needs root because it reads and rebuilds other processes.";
  if (!hasProgram("sudo"))
    throw new Setback("the agent needs root, and there is no sudo here", how);
  if (outputOf(["sudo", "-n", "true"]) === undefined && !process.stdin.isTTY) {
    throw new Setback("the agent needs root, and sudo asks for a password", how);
  }
  return ["sudo", "env", ...assignments];
}
