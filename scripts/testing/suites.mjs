// The test suites: how each is run, and how its result is counted from what its runner reports.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { nodePath, run } from "../command.mjs";
import { checkout, helperPath } from "../paths.mjs";

/** @typedef {{passed: number, failed: number, skipped: number, reasons: string[]}} Counts */

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {string} about
 * @property {number} timeLimitSeconds
 * @property {(surroundings: Surroundings) => Promise<Counts>} execute
 */

/** @typedef {{environment: NodeJS.ProcessEnv, timeLimitSeconds: number}} Surroundings */

const minutes = 60;

/** @type {Suite[]} */
export const suites = [
  {
    name: "samples",
    about: "the sample applications' logic",
    timeLimitSeconds: 2 * minutes,
    execute: (surroundings) => runPython("assets/samples/ward-board", [], surroundings),
  },
  {
    name: "clients",
    about: "the Python client by itself",
    timeLimitSeconds: 2 * minutes,
    execute: (surroundings) => runPython("clients/python", ["discover", "tests"], surroundings),
  },
  {
    name: "unit",
    about: "TypeScript beside its source",
    timeLimitSeconds: 5 * minutes,
    execute: (surroundings) => runVitest("vitest.config.ts", "unit", surroundings),
  },
  {
    name: "rust",
    about: "the helper: image format, engine, capsule",
    timeLimitSeconds: 30 * minutes,
    execute: runCargo,
  },
  {
    name: "integration",
    about: "agent and helper on real programs",
    timeLimitSeconds: 20 * minutes,
    execute: (surroundings) =>
      runVitest("vitest.integration.config.ts", "integration", surroundings),
  },
  {
    name: "e2e",
    about: "the panel on the real Electron",
    timeLimitSeconds: 15 * minutes,
    execute: runPlaywright,
  },
];

/**
 * @param {string[]} command
 * @param {Surroundings} surroundings
 * @param {Partial<import("../command.mjs").RunOptions>} [options]
 */
function stream(command, surroundings, options = {}) {
  return run(command, {
    env: surroundings.environment,
    timeLimitSeconds: surroundings.timeLimitSeconds,
    show: true,
    ...options,
  });
}

/**
 * What a runner's exit says that its counts don't: a crash, a time limit, or nothing run at all.
 * @param {Counts} counts
 * @param {{status: number, timedOut: boolean}} result
 * @returns {Counts}
 */
export function judged(counts, result) {
  const judgement = { ...counts, reasons: [...counts.reasons] };
  if (result.timedOut) {
    judgement.failed += 1;
    judgement.reasons.push("it did not end within its time limit");
  } else if (result.status !== 0 && counts.failed === 0) {
    judgement.failed += 1;
    judgement.reasons.push(`its runner ended with status ${result.status}, without a failed test`);
  } else if (counts.passed + counts.failed + counts.skipped === 0) {
    judgement.failed += 1;
    judgement.reasons.push("it ran no test");
  }
  return judgement;
}

/** @returns {Counts} */
function none() {
  return { passed: 0, failed: 0, skipped: 0, reasons: [] };
}

/** @param {Surroundings} surroundings */
async function runCargo(surroundings) {
  const counts = none();
  const result = await stream(
    ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
    surroundings,
    {
      cwd: join(checkout, "native-helpers"),
      onLine: (line) => countCargoLine(line, counts),
    },
  );
  return judged(counts, result);
}

/**
 * Adds what one line of cargo's output says: each test program closes with a line of its counts.
 * @param {string} line
 * @param {Counts} counts
 */
export function countCargoLine(line, counts) {
  const closing = /^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored;/.exec(line);
  if (closing !== null) {
    counts.passed += Number(closing[1]);
    counts.failed += Number(closing[2]);
    counts.skipped += Number(closing[3]);
  } else if (/^test .* \.\.\. (FAILED|ignored)/.test(line)) {
    counts.reasons.push(line.trim());
  }
}

/**
 * @param {string} folder
 * @param {string[]} selection
 * @param {Surroundings} surroundings
 */
async function runPython(folder, selection, surroundings) {
  const counts = none();
  const result = await stream(
    ["python3", "-B", "-W", "error", "-m", "unittest", ...selection, "--verbose"],
    surroundings,
    {
      cwd: join(checkout, folder),
      onLine: (line) => {
        if (/ \.\.\. ok$/.test(line)) counts.passed += 1;
        else if (/ \.\.\. skipped/.test(line)) counts.skipped += 1;
        else if (/ \.\.\. (FAIL|ERROR)$/.test(line)) counts.failed += 1;
        else return;
        if (!line.endsWith("ok")) counts.reasons.push(line);
      },
    },
  );
  return judged(counts, result);
}

/**
 * @param {string} config
 * @param {string} name
 * @param {Surroundings} surroundings
 */
async function runVitest(config, name, surroundings) {
  const report = join(checkout, `test-results/${name}.json`);
  rmSync(report, { force: true });
  const result = await stream(
    [
      nodePath(),
      join(checkout, "node_modules/vitest/vitest.mjs"),
      "run",
      `--config=${config}`,
      "--reporter=verbose",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
    surroundings,
  );
  return judged(countVitest(readReport(report)), result);
}

/**
 * @param {any} report vitest's JSON report, undefined when it wrote none
 * @returns {Counts}
 */
export function countVitest(report) {
  const counts = none();
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") counts.failed += 1;
      else counts.skipped += 1;
      if (test.status !== "passed") counts.reasons.push(`${test.status}: ${test.fullName}`);
    }
    // A file that could not even be loaded has no test in it.
    if (file.status === "failed" && file.assertionResults.length === 0) {
      counts.failed += 1;
      counts.reasons.push(`failed to load: ${file.name}`);
    }
  }
  return counts;
}

/** @param {Surroundings} surroundings */
async function runPlaywright(surroundings) {
  const report = join(checkout, "test-results/e2e.json");
  rmSync(report, { force: true });
  const result = await stream(
    [
      "xvfb-run",
      "--auto-servernum",
      "--server-args=-screen 0 1920x1200x24 -nolisten tcp",
      nodePath(),
      join(checkout, "node_modules/@playwright/test/cli.js"),
      "test",
    ],
    { ...surroundings, environment: { ...surroundings.environment, TORPOR_HELPER: helperPath } },
  );
  return judged(countPlaywright(readReport(report)), result);
}

/**
 * @param {any} report Playwright's JSON report, undefined when it wrote none
 * @returns {Counts}
 */
export function countPlaywright(report) {
  const stats = report?.stats;
  const counts = none();
  if (stats === undefined) return counts;
  counts.passed = stats.expected;
  // A test that passed only at a second try is a failing test.
  counts.failed = stats.unexpected + stats.flaky;
  counts.skipped = stats.skipped;
  for (const error of report.errors ?? []) counts.reasons.push(String(error.message));
  collectSpecs(report.suites ?? [], counts.reasons);
  return counts;
}

/**
 * @param {any[]} groups
 * @param {string[]} reasons
 */
function collectSpecs(groups, reasons) {
  for (const group of groups) {
    collectSpecs(group.suites ?? [], reasons);
    for (const spec of group.specs ?? []) {
      for (const test of spec.tests) {
        if (test.status !== "expected") reasons.push(`${test.status}: ${spec.title}`);
      }
    }
  }
}

/** @param {string} path */
function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
