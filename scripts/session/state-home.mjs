// Where a session from a checkout keeps its state, and what lies there at the first start: the sample application.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { outputOf, run } from "../command.mjs";
import { checkout } from "../paths.mjs";
import { asAccount } from "../privileges.mjs";
import { Setback } from "../setback.mjs";

/** A socket's path may have 108 bytes, and a capsule's socket lies this much deeper than the home. */
const longestHome = 108 - "/run/capsules/0123456789abcdef0123456789abcdef/control.sock".length - 1;

/** The sample's id: its file's name in apps.d. */
export const sampleId = "ward-board";

/** Capsules have these to themselves: what lies there on the machine, the sample too, they can't see. */
const hiddenFromCapsules = /^\/(tmp|dev\/shm|run\/torpor-capsule)(\/|$)/;

/**
 * The folder that is TORPOR_HOME for this checkout: `.torpor` in it, or, where the panel's user or a capsule could
 * not get through to that or its path is too long for a socket, a folder of the machine's.
 * @param {import("../privileges.mjs").Account} account
 */
export function stateHome(account) {
  const chosen = process.env.TORPOR_HOME;
  if (chosen !== undefined && chosen !== "") return chosen;
  const inCheckout = join(checkout, ".torpor");
  if (
    inCheckout.length <= longestHome &&
    !hiddenFromCapsules.test(checkout) &&
    canEnter(account, checkout)
  ) {
    return inCheckout;
  }
  const hash = createHash("sha256").update(checkout).digest("hex").slice(0, 12);
  return `/var/lib/torpor-checkout-${hash}`;
}

/**
 * Whether an account gets through to a folder.
 * @param {import("../privileges.mjs").Account} account
 * @param {string} folder
 */
export function canEnter(account, folder) {
  return outputOf([...asAccount(account), "test", "-x", folder]) !== undefined;
}

/**
 * Creates the home with the sample in it. What is there already stays as it is: who deleted the sample's file
 * meant it.
 * @param {string} home
 */
export async function prepareHome(home) {
  // Not Node's own, which never ends where no folder can be made, ever (/proc).
  const made = await run(["mkdir", "-p", "--", home]);
  if (made.status !== 0) {
    throw new Setback(
      `the folder for Torpor's state, ${home}, can't be made`,
      "Set TORPOR_HOME to a folder that can be written to.",
      made.tail,
    );
  }
  await chmod(home, 0o755);
  const applications = join(home, "apps.d");
  if (existsSync(applications)) return;

  // A copy, so that the sample runs on while the checkout changes underneath it.
  const source = join(checkout, "assets/samples", sampleId);
  const sample = join(home, "samples", sampleId);
  await cp(source, sample, {
    recursive: true,
    filter: (path) => !path.includes("__pycache__") && !path.includes("test_"),
  });
  const template = await readFile(join(source, `${sampleId}.toml`), "utf8");
  await mkdir(applications, { recursive: true });
  // TOML's basic strings escape as JSON's do.
  const folder = JSON.stringify(sample).slice(1, -1);
  await writeFile(join(applications, `${sampleId}.toml`), template.replaceAll("@FOLDER@", folder));
}
