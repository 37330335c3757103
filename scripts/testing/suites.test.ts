// How a run's counts come about: a runner that crashes or runs nothing must never look like a success.
import { expect, test } from "vitest";

import { cargoReader, countPlaywright, countVitest, judged, suites } from "./suites.mjs";

const none = { passed: 0, failed: 0, skipped: 0, reasons: [], details: [] };

test("cargo's test programs are added up, and failures are named", () => {
  const counts = { ...none, reasons: [], details: [] };
  const take = cargoReader(counts);
  for (const line of [
    "running 3 tests",
    "test header::reads_its_own ... ok",
    "test header::refuses_a_short_file ... FAILED",
    "test restore::wakes_twice ... ignored, needs root",
    "",
    "failures:",
    "",
    "---- header::refuses_a_short_file stdout ----",
    "thread 'header::refuses_a_short_file' panicked at src/header.rs:12:5:",
    "it took the file",
    "",
    "",
    "failures:",
    "    header::refuses_a_short_file",
    "",
    "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
  ]) {
    take(line);
  }
  expect(counts).toEqual({
    passed: 6,
    failed: 1,
    skipped: 1,
    reasons: [
      "test header::refuses_a_short_file ... FAILED",
      "test restore::wakes_twice ... ignored, needs root",
    ],
    details: [
      [
        "header::refuses_a_short_file:",
        "    thread 'header::refuses_a_short_file' panicked at src/header.rs:12:5:",
        "    it took the file",
      ].join("\n"),
    ],
  });
});

test("a test file that can't be loaded is a failure of vitest's", () => {
  const counts = countVitest({
    testResults: [
      {
        name: "a.test.ts",
        status: "passed",
        assertionResults: [
          { status: "passed", fullName: "works" },
          { status: "pending", fullName: "needs swap" },
        ],
      },
      { name: "b.test.ts", status: "failed", message: "no such module", assertionResults: [] },
    ],
  });
  expect(counts).toEqual({
    passed: 1,
    failed: 1,
    skipped: 1,
    reasons: ["pending: needs swap", "failed to load: b.test.ts"],
    details: ["b.test.ts:\n    no such module"],
  });
});

test("a flaky test of Playwright's is a failed one", () => {
  const stats = { expected: 4, unexpected: 0, flaky: 1, skipped: 0 };
  const results = [{ errors: [{ message: "\u001b[31mno row\u001b[39m" }] }, { errors: [] }];
  const specs = [{ title: "wakes", tests: [{ status: "flaky", results }] }];
  expect(countPlaywright({ stats, suites: [{ specs }], errors: [] })).toMatchObject({
    passed: 4,
    failed: 1,
    reasons: ["flaky: wakes"],
    details: ["wakes:\n    no row"],
  });
});

test("no report at all counts nothing, and is then judged", () => {
  expect(countVitest(undefined)).toEqual(none);
  expect(countPlaywright(undefined)).toEqual(none);
  expect(judged(none, { status: 0, timedOut: false })).toMatchObject({
    failed: 1,
    reasons: ["it ran no test"],
  });
});

test("a runner that fails without a failed test is a failure", () => {
  const passing = { ...none, passed: 3 };
  expect(judged(passing, { status: 134, timedOut: false }).failed).toBe(1);
  expect(judged(passing, { status: 143, timedOut: true }).failed).toBe(1);
  expect(judged(passing, { status: 0, timedOut: false }).failed).toBe(0);
});

test("every suite has a time limit of its own", () => {
  for (const suite of suites) expect(suite.timeLimitSeconds).toBeGreaterThan(0);
});
