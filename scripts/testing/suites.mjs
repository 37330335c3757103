// The test suites: how each is run, and how its result is counted from what its runner reports.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";

import { nodePath, run } from "../command.mjs";
import { checkout, helperPath } from "../paths.mjs";

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} reasons each test that did not pass, in a line
 * @property {string[]} details what the failed ones said, a text of several lines each
 */

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {string} about
 * @property {number} timeLimitSeconds
 * @property {(surroundings: Surroundings) => Promise<Counts>} execute
 */

/** @typedef {{environment: NodeJS.ProcessEnv, timeLimitSeconds: number}} Surroundings */

const minutes = 60;

/** How much of what a failed test said is told again at the end of the run. */
const detailLines = 30;

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
  return { passed: 0, failed: 0, skipped: 0, reasons: [], details: [] };
}

/**
 * What a test said when it failed, without colours and no longer than is read.
 * @param {string} heading
 * @param {string} text
 */
function detail(heading, text) {
  const lines = stripVTControlCharacters(text).trimEnd().split("\n");
  const shown = lines.slice(0, detailLines).map((line) => `    ${line}`.trimEnd());
  const left = lines.length - shown.length;
  return [`${heading}:`, ...shown, ...(left > 0 ? [`    (${left} more lines above)`] : [])].join(
    "\n",
  );
}

/** @param {Surroundings} surroundings */
async function runCargo(surroundings) {
  const counts = none();
  const take = cargoReader(counts);
  const result = await stream(
    ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
    surroundings,
    {
      cwd: join(checkout, "native-helpers"),
      onLine: take,
    },
  );
  return judged(counts, result);
}

/**
 * A reader of cargo's output, a line at a time: each test program closes with what its failed tests printed, their
 * names and a line of its counts.
 * @param {Counts} counts to which it adds
 * @returns {(line: string) => void}
 */
export function cargoReader(counts) {
  /** @type {{name: string, lines: string[]} | undefined} */
  let open;
  const close = () => {
    if (open !== undefined) counts.details.push(detail(open.name, open.lines.join("\n")));
    open = undefined;
  };
  return (line) => {
    const heading = /^---- (.+) stdout ----$/.exec(line);
    const closing = /^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored;/.exec(line);
    if (heading?.[1] !== undefined) {
      close();
      open = { name: heading[1], lines: [] };
    } else if (closing !== null) {
      counts.passed += Number(closing[1]);
      counts.failed += Number(closing[2]);
      counts.skipped += Number(closing[3]);
    } else if (line === "failures:") {
      close();
    } else if (/^test .* \.\.\. (FAILED|ignored)/.test(line)) {
      counts.reasons.push(line.trim());
    } else if (open !== undefined && !/^\s*$/.test(line)) {
      open.lines.push(line);
    }
  };
}

/**
 * @param {string} folder
 * @param {string[]} selection
 * @param {Surroundings} surroundings
 */
async function runPython(folder, selection, surroundings) {
  const counts = none();
  /** @type {string[]} */
  const closing = [];
  const result = await stream(
    ["python3", "-B", "-W", "error", "-m", "unittest", ...selection, "--verbose"],
    surroundings,
    {
      cwd: join(checkout, folder),
      onLine: (line) => {
        // The first such line closes the list of tests; what failed is told behind it.
        if (closing.length > 0 || line === "=".repeat(70)) closing.push(line);
        if (/ \.\.\. ok$/.test(line)) counts.passed += 1;
        else if (/ \.\.\. skipped/.test(line)) counts.skipped += 1;
        else if (/ \.\.\. (FAIL|ERROR)$/.test(line)) counts.failed += 1;
        else return;
        if (!line.endsWith("ok")) counts.reasons.push(line);
      },
    },
  );
  if (counts.failed > 0) counts.details.push(detail(folder, closing.join("\n")));
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
      if (test.status === "failed") {
        counts.details.push(detail(test.fullName, (test.failureMessages ?? []).join("\n")));
      }
    }
    // A file that could not even be loaded has no test in it.
    if (file.status === "failed" && file.assertionResults.length === 0) {
      counts.failed += 1;
      counts.reasons.push(`failed to load: ${file.name}`);
      counts.details.push(detail(file.name, file.message ?? ""));
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
  collectSpecs(report.suites ?? [], counts);
  return counts;
}

/**
 * @param {any[]} groups
 * @param {Counts} counts to which it adds
 */
function collectSpecs(groups, counts) {
  for (const group of groups) {
    collectSpecs(group.suites ?? [], counts);
    for (const spec of group.specs ?? []) {
      for (const test of spec.tests) {
        if (test.status === "expected") continue;
        counts.reasons.push(`${test.status}: ${spec.title}`);
        for (const result of test.results ?? []) {
          for (const error of result.errors ?? []) {
            counts.details.push(detail(spec.title, String(error.message)));
          }
        }
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
