/**
 * How long is waited before an application is brought back once more: not at all after a healthy life,
 * then twice as long after each failure, up to five minutes.
 */

const FIRST_MS = 1000;
export const LONGEST_BACK_OFF_MS = 5 * 60_000;

/** @param failures attempts that failed in a row, without a healthy life in between */
export function backOffMs(failures: number): number {
  // Beyond 2^30 a shift would turn negative; the bound is reached long before.
  return failures <= 0
    ? 0
    : Math.min(LONGEST_BACK_OFF_MS, FIRST_MS * 2 ** Math.min(failures - 1, 30));
}
