// What a benchmark hands back, and how it becomes medians.

/**
 * One question's answer: all values as measured, in the order of measuring.
 * @typedef {{name: string, unit: string, values: number[], goal?: number}} Series
 */

/**
 * @typedef {object} Benchmark
 * @property {string} question what a person would ask
 * @property {boolean} [panel] whether it opens the panel
 * @property {(surroundings: {scratch: string, say: (text: string) => void}) => Promise<Series[]>} measure
 */

/**
 * @param {number[]} values
 * @returns {{median: number, smallest: number, largest: number, count: number}}
 */
export function summarize(values) {
  if (values.length === 0) throw new Error("nothing was measured");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  const lower = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  return {
    median: (lower + upper) / 2,
    smallest: sorted[0] ?? Number.NaN,
    largest: sorted.at(-1) ?? Number.NaN,
    count: sorted.length,
  };
}
