/** A failure on standard error: what happened, what is still as it was, what to do. */
import { exitStatusOfCode, type Failure } from "../contract/index.js";
import type { Output } from "./output.js";

/** Returns the exit status. */
export function reportFailure(output: Output, failure: Failure): number {
  output.clearProgress();
  output.data({ error: failure });
  if (!output.json) {
    const { detail } = failure;
    output.warn(`${output.styleError("red", "torpor:")} ${detail?.happened ?? failure.message}`);
    for (const blocker of detail?.blockers ?? []) {
      const who =
        blocker.pid === null
          ? ""
          : `process ${blocker.pid}${blocker.comm === null ? "" : ` (${blocker.comm})`}, `;
      output.warn(
        `  - ${who}${blocker.subject}: ${blocker.message}${blocker.remedy === null ? "" : ` ${blocker.remedy}`}`,
      );
    }
    for (const part of [detail?.unchanged, detail?.remedy]) {
      if (part !== undefined && part !== "") {
        output.warn(`        ${part}`);
      }
    }
  }
  return exitStatusOfCode[failure.code];
}
