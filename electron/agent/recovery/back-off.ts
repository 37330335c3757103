/**
 * How long is waited before an application is brought back once more: not at all after a healthy life,
 * then twice as long after each failure, up to a bound.
 */
import type { RecoveryConfig } from "../../contract/index.js";

/** @param failures attempts that failed in a row, without a healthy life in between */
export function backOffMs(
  failures: number,
  {
    "back-off": first,
    "longest-back-off": longest,
  }: Pick<RecoveryConfig, "back-off" | "longest-back-off">,
): number {
  // Beyond 2^30 the product would lose its precision; the bound is reached long before.
  return failures <= 0 ? 0 : Math.min(longest, first * 2 ** Math.min(failures - 1, 30));
}
