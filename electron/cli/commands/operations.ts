/** `torpor operations` and `torpor cancel`: what is under way, who began it, and an end to it. */
import { type OperationRecord } from "../../contract/index.js";
import { argument, flag, limitOf, limitOption, type Command } from "../command.js";
import type { Style } from "../output.js";
import { shortId, time } from "../quantities.js";
import { describeProgress } from "../run-operation.js";
import { textTable } from "../text-table.js";

const styles: Partial<Record<OperationRecord["state"], Style>> = {
  succeeded: "green",
  failed: "red",
  cancelled: "yellow",
  cancelling: "yellow",
};

export const operationCommands: readonly Command[] = [
  {
    name: "operations",
    summary: "List what is under way; with --all also what has ended",
    arguments: [{ name: "APP", kind: "application", optional: true }],
    options: {
      all: { type: "boolean", short: "a", help: "also those that have ended, newest first" },
      limit: limitOption,
    },
    async run(invocation, { agent, output }) {
      const [app] = invocation.positionals;
      const limit = limitOf(invocation);
      const client = await agent();
      const { operations } = await client.call("operations.list", {
        limit,
        ...(app === undefined ? {} : { app }),
        ...(flag(invocation, "all") ? {} : { active: true }),
      });
      output.data({ operations });
      if (operations.length === 0) {
        output.line(flag(invocation, "all") ? "Nothing was done yet." : "Nothing is under way.");
        return 0;
      }
      const table = textTable(
        [
          { title: "OPERATION" },
          { title: "WHAT" },
          { title: "APPLICATION" },
          { title: "IMAGE" },
          { title: "BEGUN" },
          { title: "STATE" },
          { title: "", shrinks: true },
        ],
        operations.map((each) => [
          each.id,
          each.kind,
          each.applicationId,
          shortId(each.imageId ?? each.result?.imageId ?? null),
          time(each.startedAt),
          {
            text: each.state,
            paint: (text: string) => output.style(styles[each.state] ?? "cyan", text),
          },
          each.endedAt === null
            ? describeProgress(each)
            : (each.error?.detail?.happened ?? each.error?.message ?? ""),
        ]),
        output.width,
      );
      for (const line of table) {
        output.line(line);
      }
      return 0;
    },
  },
  {
    name: "cancel",
    summary: "Cancel something that is under way; the application and its images stay as they were",
    arguments: [{ name: "OPERATION", kind: "operation" }],
    options: {},
    async run(invocation, { agent, output }) {
      const client = await agent();
      const id = argument(invocation, 0);
      await client.call("operations.cancel", { operation: id });
      const ended = await client.waitFor(id);
      output.data({ operation: ended });
      const { kind, applicationId, state } = ended;
      if (state === "cancelled") {
        output.line(`Cancelled the ${kind} of ${applicationId}.`);
        return 0;
      }
      output.warn(
        state === "succeeded"
          ? `It was too late: the ${kind} of ${applicationId} had come to its end.`
          : `The ${kind} of ${applicationId} failed before: ${ended.error?.message ?? ""}`,
      );
      return 6;
    },
  },
];
