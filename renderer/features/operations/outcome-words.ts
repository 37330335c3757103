// How an operation ended, in one sentence with the numbers that matter.
import type { OperationRecord } from "../../../electron/contract/operation.js";
import { OPERATION_DONE_WORDS, OPERATION_WORDS, shortId } from "../../words/application-words.js";
import { formatBytes, formatMilliseconds } from "../../words/quantities.js";

export interface Outcome {
  readonly tone: "good" | "bad" | "neutral";
  readonly words: string;
}

export function outcomeInWords(
  operation: Pick<OperationRecord, "kind" | "state" | "result" | "error">,
  applicationName: string,
): Outcome {
  switch (operation.state) {
    case "failed":
      return {
        tone: "bad",
        words:
          operation.error?.detail?.happened ??
          operation.error?.message ??
          `${OPERATION_WORDS[operation.kind]} ${applicationName} failed`,
      };
    case "cancelled":
      return {
        tone: "neutral",
        words: `${OPERATION_WORDS[operation.kind]} ${applicationName} was cancelled; it is as it was before`,
      };
    case "running":
    case "cancelling":
    case "succeeded":
      return { tone: "good", words: succeeded(operation, applicationName) };
  }
}

function succeeded(
  { kind, result }: Pick<OperationRecord, "kind" | "result">,
  applicationName: string,
): string {
  const facts: string[] = [];
  if (result?.imageId !== undefined && kind !== "start" && kind !== "stop") {
    facts.push(`image ${shortId(result.imageId)}`);
  }
  if (result?.beforeImageId !== undefined) {
    facts.push(`what ran before is image ${shortId(result.beforeImageId)}`);
  }
  if (result?.pauseMs !== undefined && (kind === "capture" || kind === "hibernate")) {
    facts.push(`stood still for ${formatMilliseconds(result.pauseMs)}`);
  }
  if (result?.firstInstructionMs !== undefined) {
    facts.push(`running again after ${formatMilliseconds(result.firstInstructionMs)}`);
  }
  if (result?.bytes !== undefined && kind === "verify") {
    facts.push(`${formatBytes(result.bytes)} read and right`);
  }
  if (result?.bytes !== undefined && kind === "flatten") {
    facts.push(`${formatBytes(result.bytes)}, and it builds on no other`);
  }
  const head = `${OPERATION_DONE_WORDS[kind]} ${applicationName}`;
  return facts.length === 0 ? head : `${head}: ${facts.join(", ")}`;
}
