// `npm run bench`: runs the benchmarks of bench/, or those that are named (`npm run bench -- NAME…`), prints medians,
// keeps all values in bench/results/, and (all of them) writes docs/benchmarks.md from those. `--list` says what there is,
// `--document` only writes.
import { realpathSync } from "node:fs";
import { mkdtemp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { arch, cpus, release, totalmem } from "node:os";
import { join } from "node:path";

import { summarize } from "../bench/measurement.mjs";
import { writeBenchDocument } from "./bench-document.mjs";
import { nodePath, run } from "./command.mjs";
import { checkout } from "./paths.mjs";
import { asRoot, isRoot } from "./privileges.mjs";
import { runScript, Setback } from "./setback.mjs";
import { setup } from "./setup.mjs";

const ending = ".bench.mjs";

await runScript(async () => {
  const named = process.argv.slice(2).filter((each) => !each.startsWith("-"));
  const files = await readdir(join(checkout, "bench"));
  const known = files
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length));
  if (process.argv.includes("--document")) {
    await writeBenchDocument();
    return 0;
  }
  if (process.argv.includes("--list")) {
    for (const name of known) console.log(`${name}: ${(await load(name)).question}`);
    return 0;
  }
  const names = named.length > 0 ? named : known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new Setback(`there is no benchmark “${unknown}”`, `There are: ${known.join(", ")}`);
  }
  const wanted = await Promise.all(names.map(load));
  const panel = wanted.some((benchmark) => benchmark.panel === true);
  await setup({ panel, tests: panel });
  // On the pinned Node and as root, as the product runs.
  if (!isRoot || process.execPath !== realpathSync(nodePath())) {
    if (!process.argv.includes("--ready")) return await again(named);
  }
  for (const name of names) await measure(name);
  // What a few say would be all that the document says.
  if (named.length === 0) await writeBenchDocument();
  return 0;
});

/** @param {string[]} named */
async function again(named) {
  const prefix = isRoot ? [] : asRoot({});
  const command = [...prefix, nodePath(), join(checkout, "scripts/bench.mjs"), "--ready", ...named];
  return (await run(command, { show: true })).status;
}

/**
 * @param {string} name
 * @returns {Promise<import("../bench/measurement.mjs").Benchmark>}
 */
async function load(name) {
  return (await import(`../bench/${name}${ending}`)).default;
}

/** @param {string} name */
async function measure(name) {
  const { question, measure } = await load(name);
  console.log(`\n${name}: ${question}`);
  const scratch = await mkdtemp("/var/tmp/torpor-bench-");
  try {
    /** @type {string[]} */
    const notes = [];
    const series = await measure({ scratch, say: (text) => notes.push(text) });
    const summary = series.map((each) => ({ ...each, ...summarize(each.values) }));
    for (const each of summary) {
      const goal = each.goal === undefined ? "" : `, goal at most ${each.goal}`;
      console.log(
        `  ${each.name}: median ${short(each.median)} ${each.unit} (${short(each.smallest)} to ${short(each.largest)}, ${each.count} times${goal})`,
      );
    }
    for (const note of notes) console.log(`  ${note}`);
    const folder = join(checkout, "bench/results");
    await mkdir(folder, { recursive: true });
    const result = {
      name,
      question,
      measuredAt: new Date().toISOString(),
      machine: machine(),
      notes,
      series: summary,
    };
    await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** @param {number} value */
function short(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function machine() {
  return {
    kernel: release(),
    arch: arch(),
    cores: cpus().length,
    cpu: cpus()[0]?.model,
    memoryBytes: totalmem(),
    node: process.version,
  };
}
