/**
 * Sees an operation through: shows its progress, cancels it on Ctrl-C, and turns its end into an
 * exit status or a failure.
 */
import type { AgentClient } from "../contract/client.js";
import { FailureError, type OperationRecord } from "../contract/index.js";
import type { Output } from "./output.js";
import { size } from "./quantities.js";

const doing: Readonly<Record<OperationRecord["kind"], string>> = {
  start: "Starting",
  stop: "Stopping",
  capture: "Capturing",
  hibernate: "Hibernating",
  wake: "Waking",
  restore: "Restoring",
  verify: "Verifying an image of",
  move: "Moving an image of",
  flatten: "Making whole an image of",
};

/** @throws FailureError when the operation failed or was cancelled. */
export async function runOperation(
  client: AgentClient,
  output: Output,
  begin: () => Promise<{ operation: OperationRecord }>,
): Promise<OperationRecord> {
  await client.call("events.subscribe", { events: ["operation.changed"] });
  const { operation } = await begin();
  const title = `${doing[operation.kind]} ${operation.applicationId}`;
  output.progress(title);

  let interrupts = 0;
  const cancel = (): void => {
    interrupts += 1;
    if (interrupts > 1) {
      output.clearProgress();
      output.warn("Not waiting for the end; the operation goes on being cancelled.");
      process.exit(6);
    }
    output.progress(`${title}: cancelling`);
    client.call("operations.cancel", { operation: operation.id }).catch((error: unknown) => {
      output.warn(error instanceof Error ? error.message : String(error));
    });
  };
  process.on("SIGINT", cancel);
  process.on("SIGTERM", cancel);
  try {
    const ended = await client.waitFor(operation.id, (record) => {
      output.progress(`${title}: ${describeProgress(record)}`);
    });
    if (ended.error !== null) {
      throw new FailureError(ended.error);
    }
    return ended;
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
    output.clearProgress();
  }
}

export function describeProgress(record: OperationRecord): string {
  if (record.state === "cancelling") {
    return "cancelling";
  }
  const { doneBytes, totalBytes } = record;
  if (doneBytes === null || totalBytes === null || totalBytes === 0) {
    return record.phase;
  }
  return `${record.phase} ${size(doneBytes)} of ${size(totalBytes)} (${Math.floor((doneBytes / totalBytes) * 100)} %)`;
}
