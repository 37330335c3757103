/** `torpor recover` and `torpor history`: what was, or would be, done about an occurrence, and why. */
import {
  fail,
  type Decision,
  type ImageRecord,
  type OccurrenceRecord,
  type RecoveredOccurrence,
} from "../../contract/index.js";
import {
  argument,
  flag,
  limitOf,
  limitOption,
  textOption,
  type Command,
  type Invocation,
} from "../command.js";
import type { Output } from "../output.js";
import { milliseconds, shortId, time } from "../quantities.js";

/** As people type them; `start` is short for `start-up`. */
const occurrences: Readonly<Record<string, RecoveredOccurrence>> = {
  crash: "crash",
  hang: "hang",
  start: "start-up",
  "start-up": "start-up",
  "power-loss": "power-loss",
  "agent-failure": "agent-failure",
};
const onChoices = ["crash", "hang", "start", "power-loss", "agent-failure"] as const;

export const recoveryCommands: readonly Command[] = [
  {
    name: "recover",
    summary: "Bring an application back by the rules of its file, or say how that would be done",
    arguments: [{ name: "APP", kind: "application" }],
    options: {
      explain: { type: "boolean", help: "do nothing; say which image would be chosen, and why" },
      on: {
        type: "string",
        value: "OCCURRENCE",
        help: `${onChoices.join(", ")} (default crash)`,
        choices: onChoices,
      },
    },
    async run(invocation, { agent, output }) {
      const app = argument(invocation, 0);
      const on = occurrenceOf(invocation);
      const client = await agent();
      if (flag(invocation, "explain")) {
        const [{ decision }, { images }] = await Promise.all([
          client.call("recovery.explain", { app, on }),
          client.call("images.list", { app }),
        ]);
        output.data({ decision });
        if (decision === null) {
          output.line(`Nothing: the file of ${app} has no [recovery], so it stays as it is.`);
        } else {
          describeDecision(decision, images, output);
        }
        return 0;
      }
      const { occurrence } = await client.call("recovery.run", { app, on });
      output.data({ occurrence });
      const { images } = await client.call("images.list", { app });
      describeDecision(occurrence.decision, images, output);
      return occurrence.decision.action === "give-up" ? 5 : 0;
    },
  },
  {
    name: "history",
    summary: "List what happened to an application, what was done about it, and why",
    arguments: [{ name: "APP", kind: "application", optional: true }],
    options: {
      limit: limitOption,
    },
    async run(invocation, { agent, output }) {
      const [app] = invocation.positionals;
      const limit = limitOf(invocation);
      const client = await agent();
      const { occurrences: records } = await client.call("recovery.history", {
        limit,
        ...(app === undefined ? {} : { app }),
      });
      output.data({ occurrences: records });
      if (records.length === 0) {
        output.line("Nothing has happened yet.");
      }
      const { images } = await client.call("images.list", app === undefined ? {} : { app });
      for (const record of records) {
        describeOccurrence(record, images, output);
      }
      return 0;
    },
  },
];

function occurrenceOf(invocation: Invocation): RecoveredOccurrence {
  const word = textOption(invocation, "on") ?? "crash";
  return (
    occurrences[word] ??
    fail("usage", { happened: `--on must be one of ${onChoices.join(", ")}, not "${word}".` })
  );
}

export function describeDecision(
  decision: Decision,
  images: readonly ImageRecord[],
  output: Output,
  indent = "",
): void {
  output.line(`${indent}${inWords(decision, images)}: ${decision.reason}.`);
  if (decision.delayMs > 0) {
    output.line(`${indent}It waits ${milliseconds(decision.delayMs)} before.`);
  }
  describePassedOver(decision, images, output, indent);
}

function describeOccurrence(
  { at, applicationId, kind, happened, decision, state, outcome }: OccurrenceRecord,
  images: readonly ImageRecord[],
  output: Output,
): void {
  output.line(
    `${time(at)}  ${output.style("bold", applicationId)}  ${output.style(kind === "crash" || kind === "hang" ? "red" : "cyan", kind)}: ${happened}`,
  );
  output.line(`    ${inWords(decision, images)}: ${decision.reason}`);
  describePassedOver(decision, images, output, "    ");
  output.line(`    ${state}${outcome === null ? "" : `: ${outcome}`}`);
}

function describePassedOver(
  { passedOver }: Decision,
  images: readonly ImageRecord[],
  output: Output,
  indent: string,
): void {
  for (const { imageId, reason } of passedOver) {
    output.line(
      output.style("dim", `${indent}  passed over ${nameOf(imageId, images)}: it ${reason}`),
    );
  }
}

function inWords(decision: Decision, images: readonly ImageRecord[]): string {
  switch (decision.action) {
    case "restore":
      return `Restore image ${nameOf(decision.imageId, images)}`;
    case "start":
      return "Start it cleanly";
    case "nothing":
      return "Nothing";
    case "give-up":
      return "Give it up";
  }
}

function nameOf(id: string | null, images: readonly ImageRecord[]): string {
  const image = images.find((each) => each.id === id);
  return image === undefined
    ? shortId(id)
    : `${shortId(id)} of ${time(image.createdAt)}${image.label === null ? "" : ` "${image.label}"`}`;
}
