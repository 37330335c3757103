// `npm run check`, the fast loop: types, lint with the directions of imports, layout, clippy, rustfmt and unit tests,
// side by side; under a minute once the caches are warm.
import { availableParallelism } from "node:os";

import { nodePath, run } from "./command.mjs";
import { runScript } from "./setback.mjs";
import { bringNodePackages } from "./setup/node-packages.mjs";

const bin = "node_modules";

/** Longest first, so that the cores are busy to the end. */
const checks = [
  {
    name: "clippy",
    command: [
      "cargo",
      "clippy",
      "--workspace",
      "--all-targets",
      "--locked",
      "--quiet",
      "--",
      "-D",
      "warnings",
    ],
    cwd: "native-helpers",
  },
  {
    name: "lint",
    command: [
      nodePath(),
      `${bin}/eslint/bin/eslint.js`,
      "--cache",
      "--cache-location",
      ".cache/eslint/",
      "--cache-strategy",
      "content",
      "--max-warnings",
      "0",
      ".",
    ],
  },
  { name: "types", command: [nodePath(), `${bin}/typescript/bin/tsc`, "--build"] },
  {
    name: "unit tests",
    command: [nodePath(), `${bin}/vitest/vitest.mjs`, "run", "--reporter=dot"],
  },
  {
    name: "layout",
    command: [
      nodePath(),
      `${bin}/prettier/bin/prettier.cjs`,
      "--check",
      "--cache",
      "--cache-location",
      ".cache/prettier",
      "--log-level",
      "warn",
      ".",
    ],
  },
  {
    name: "rustfmt",
    command: ["cargo", "fmt", "--all", "--", "--check", "-l"],
    cwd: "native-helpers",
  },
  {
    name: "sample",
    command: ["python3", "-B", "-m", "unittest", "--quiet"],
    cwd: "assets/samples/ward-board",
  },
  {
    name: "python client",
    command: ["python3", "-B", "-W", "error", "-m", "unittest", "discover", "--quiet", "tests"],
    cwd: "clients/python",
  },
];

/** What a person reads of one check before fixing something. */
const shownLines = 80;

await runScript(async () => {
  const started = Date.now();
  await bringNodePackages((text) => console.log(`setup: ${text}`));
  const queue = [...checks];
  let failures = 0;
  const worker = async () => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      const begun = Date.now();
      /** @type {string[]} */
      const lines = [];
      const result = await run(check.command, {
        ...(check.cwd === undefined ? {} : { cwd: check.cwd }),
        onLine: (line) => lines.push(line),
      });
      const seconds = ((Date.now() - begun) / 1000).toFixed(1);
      console.log(`${result.status === 0 ? "ok  " : "FAIL"} ${check.name} (${seconds} s)`);
      if (result.status !== 0) {
        failures += 1;
        console.log(
          lines
            .slice(0, shownLines)
            .map((line) => `     ${line}`)
            .join("\n"),
        );
        if (lines.length > shownLines)
          console.log(`     … ${lines.length - shownLines} more lines`);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    failures === 0
      ? `all good (${seconds} s)`
      : `${failures} of ${checks.length} failed (${seconds} s)`,
  );
  return failures === 0 ? 0 : 1;
});
