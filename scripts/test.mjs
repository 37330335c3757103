// `npm test`: sets up, then runs every suite (or those named: npm test -- unit rust) and ends with one line of counts.
// A suite that crashes or runs nothing has failed; as root a skipped test has failed too, and so has anything
// that the tests left behind on the machine.
import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { nodePath, run, toolEnvironment } from "./command.mjs";
import { checkout, helperPath } from "./paths.mjs";
import { asRoot, isRoot } from "./privileges.mjs";
import { runScript, Setback } from "./setback.mjs";
import { setup } from "./setup.mjs";
import { endMarkedProcesses, leftoversSince, lookAround, runMarker } from "./testing/leftovers.mjs";
import { suites } from "./testing/suites.mjs";

/** All suites together, on two cores, the first build included. */
const overallLimitSeconds = 45 * 60;

/** The second half: everything is set up, and whoever runs this has the rights that there are. */
const suitesOnly = "--suites-only";

const options = process.argv.slice(2);

await runScript(async () => {
  const named = options.filter((option) => !option.startsWith("-"));
  const unknown = named.find((name) => !suites.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    throw new Setback(
      `there is no suite “${unknown}”`,
      `Suites: ${suites.map((suite) => suite.name).join(", ")}. Without a name all of them run.`,
    );
  }
  const chosen = suites.filter((suite) => named.length === 0 || named.includes(suite.name));
  if (!options.includes(suitesOnly)) {
    await setup({ panel: chosen.some((suite) => suite.name === "e2e"), tests: true });
    if (!isRoot) return await runAsRoot();
  }
  return await runSuites(chosen);
});

/**
 * @param {import("./testing/suites.mjs").Suite[]} chosen
 * @returns {Promise<number>} the exit status
 */
async function runSuites(chosen) {
  const deadline = Date.now() + overallLimitSeconds * 1000;
  const marker = randomUUID();
  // Short, because sockets lie in it; open, because the panel runs as an ordinary user; not /tmp, because capsules
  // have one of their own and could not see the programs that tests put there.
  const scratch = await mkdtemp("/var/tmp/torpor-t-");
  await chmod(scratch, 0o1777);
  const before = lookAround();
  /** @type {NodeJS.ProcessEnv} */
  const environment = {
    ...toolEnvironment(),
    [runMarker]: marker,
    TMPDIR: scratch,
    TORPOR_HELPER: helperPath,
    // A developer's own agent and state stay out of it.
    TORPOR_HOME: undefined,
    NO_COLOR: "1",
    FORCE_COLOR: undefined,
  };

  // Ctrl-C ends the suite that runs (see command.mjs); the rest is left out, and the cleaning up is not.
  let interrupted = false;
  process.on("SIGINT", () => {
    interrupted = true;
  });
  process.on("SIGTERM", () => process.kill(process.pid, "SIGINT"));

  const totals = { passed: 0, failed: 0, skipped: 0 };
  /** @type {string[]} */
  const summary = [];
  /** @type {string[]} */
  const details = [];
  for (const suite of chosen) {
    if (interrupted) {
      totals.failed += 1;
      summary.push(`${suite.name}: not run, interrupted`);
      continue;
    }
    console.log(`\n── ${suite.name}: ${suite.about} ──`);
    const left = Math.floor((deadline - Date.now()) / 1000);
    const started = Date.now();
    const counts =
      left <= 0
        ? { passed: 0, failed: 1, skipped: 0, reasons: ["no time was left for it"], details: [] }
        : await suite.execute({
            environment,
            timeLimitSeconds: Math.min(left, suite.timeLimitSeconds),
          });
    totals.passed += counts.passed;
    totals.failed += counts.failed;
    totals.skipped += counts.skipped;
    details.push(...counts.details.map((each) => `${suite.name}: ${each}`));
    const seconds = Math.round((Date.now() - started) / 1000);
    summary.push(
      `${suite.name}: ${inWords(counts)} (${seconds} s)`,
      ...(counts.failed + counts.skipped > 0
        ? counts.reasons.map((reason) => `    ${reason}`)
        : []),
    );
  }

  const leftovers = await leftoversSince(before, marker, scratch);
  endMarkedProcesses(marker);
  await rm(scratch, { recursive: true, force: true });
  if (leftovers.length > 0) {
    totals.failed += 1;
    summary.push("leftovers: the tests left things behind on this machine");
    summary.push(...leftovers.map((each) => `    ${each}`));
  }
  if (isRoot && totals.skipped > 0) {
    summary.push(`${totals.skipped} skipped, although root can do it all: counted as failed`);
    totals.failed += totals.skipped;
    totals.skipped = 0;
  }
  if (details.length > 0) console.log(`\n── what failed, once more ──\n\n${details.join("\n\n")}`);
  console.log(`\n${summary.join("\n")}\n`);
  console.log(inWords(totals));
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

/** @param {{passed: number, failed: number, skipped: number}} counts */
function inWords({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/**
 * Goes on by sudo, because most of what is tested needs root; without sudo as we are, with skips.
 * What root wrote into the checkout is given back afterwards.
 * @returns {Promise<number>}
 */
async function runAsRoot() {
  /** @type {string[]} */
  let prefix;
  try {
    const { HOME = "", PATH = "", CI } = process.env;
    prefix = asRoot({ HOME, PATH, ...(CI === undefined ? {} : { CI }) });
  } catch (error) {
    if (!(error instanceof Setback)) throw error;
    console.log(`Not root and no sudo: what needs root is skipped (${error.message}).`);
    prefix = [];
  }
  const command = [
    ...prefix,
    nodePath(),
    join(checkout, "scripts/test.mjs"),
    suitesOnly,
    ...options,
  ];
  const { status } = await run(command, { env: process.env, show: true });
  if (prefix.length > 0) {
    const owner = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
    await run([
      "sudo",
      "chown",
      "-R",
      owner,
      ".cache",
      "dist",
      "native-helpers/target",
      "test-results",
    ]);
  }
  return status;
}
