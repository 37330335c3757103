// docs/benchmarks.md, from what the benchmarks left in bench/results/: `npm run bench -- --document`.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";

import { checkout } from "./paths.mjs";
import { Setback } from "./setback.mjs";

/**
 * @typedef {{name: string, unit: string, median: number, smallest: number, largest: number, count: number, goal?: number}} Row
 * @typedef {{name: string, question: string, measuredAt: string, notes: string[], series: Row[], machine: {kernel: string, cores: number, cpu?: string, memoryBytes: number}}} Result
 */

const results = join(checkout, "bench/results");
const barWidth = 30;

/** Writes the document; what was never measured here is not in it. */
export async function writeBenchDocument() {
  const names = (await readdir(results).catch(() => [])).filter((name) => name.endsWith(".json"));
  if (names.length === 0) {
    throw new Setback(
      "nothing has been measured here yet",
      "Run the benchmarks first: npm run bench",
    );
  }
  /** @type {Result[]} */
  const all = [];
  for (const name of names.toSorted())
    all.push(JSON.parse(await readFile(join(results, name), "utf8")));
  const file = join(checkout, "docs/benchmarks.md");
  // Laid out as `npm run check` wants it.
  const options = await resolveConfig(file);
  await writeFile(file, await format(documentOf(all), { ...options, filepath: file }));
}

/**
 * @param {Result[]} all
 * @returns {string}
 */
export function documentOf(all) {
  const first = all[0]?.machine;
  const machine =
    first === undefined
      ? ""
      : `${first.cores} cores${first.cpu === undefined ? "" : ` (${first.cpu})`}, ${Math.round(first.memoryBytes / 2 ** 30)} GiB, kernel ${first.kernel}`;
  return [
    "# Benchmarks",
    "",
    "Written by `npm run bench` (`-- --document`) from the values of the last runs. Medians; machines are shared and",
    "noisy, so what counts are the ratios of things that were measured turn by turn in one run.",
    "",
    `Machine: ${machine}.`,
    ...all.flatMap(section),
    "",
  ].join("\n");
}

/** @param {Result} result */
function section(result) {
  return [
    "",
    `## ${result.name}`,
    "",
    `${result.question[0]?.toUpperCase()}${result.question.slice(1)}. Measured ${result.measuredAt.slice(0, 10)}.`,
    "",
    "| what | median | least | most | runs | goal |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...result.series.map(
      (row) =>
        `| ${row.name} | ${short(row.median)} ${row.unit} | ${short(row.smallest)} | ${short(row.largest)} | ${row.count} | ${row.goal === undefined ? "" : `≤ ${row.goal}`} |`,
    ),
    ...plot(result.series),
    ...result.notes.flatMap((note) => ["", note]),
  ];
}

/**
 * Bars of the medians, on a logarithmic scale: pauses and writing times differ by powers of ten.
 * @param {Row[]} rows
 */
function plot(rows) {
  const comparable = rows.filter((row) => row.unit === "ms" && row.median > 0);
  if (comparable.length < 4) return [];
  const logs = comparable.map((row) => Math.log10(row.median));
  const low = Math.floor(Math.min(...logs));
  const high = Math.max(...logs);
  const width = Math.max(...comparable.map((row) => row.name.length));
  return [
    "",
    "```text",
    ...comparable.map((row, at) => {
      const share = high === low ? 1 : ((logs[at] ?? low) - low) / (high - low);
      const bar = "█".repeat(Math.max(1, Math.round(share * barWidth)));
      return `${row.name.padEnd(width)}  ${bar.padEnd(barWidth)}  ${short(row.median)} ms`;
    }),
    "```",
  ];
}

/** @param {number} value */
function short(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
