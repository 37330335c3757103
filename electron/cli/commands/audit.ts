/** `torpor audit`: what was done to applications and images, and how it ended. */
import { limitOf, limitOption, type Command } from "../command.js";
import type { Style } from "../output.js";
import { shortId, time } from "../quantities.js";
import { textTable } from "../text-table.js";

const styles: Readonly<Record<string, Style>> = {
  succeeded: "green",
  cancelled: "yellow",
  failed: "red",
};

export const auditCommand: Command = {
  name: "audit",
  summary: "List what was done to applications and images, and how it ended",
  arguments: [{ name: "APP", kind: "application", optional: true }],
  options: { limit: limitOption },
  details:
    "Also of applications and images that are gone since. What happened by itself, and why, is in: torpor history.",
  async run(invocation, { agent, output }) {
    const [app] = invocation.positionals;
    const limit = limitOf(invocation);
    const client = await agent();
    const { entries } = await client.call("audit.list", {
      limit,
      ...(app === undefined ? {} : { app }),
    });
    output.data({ entries });
    if (entries.length === 0) {
      output.line(app === undefined ? "Nothing was done yet." : `Nothing was done to ${app}.`);
      return 0;
    }
    const table = textTable(
      [
        { title: "WHEN" },
        { title: "WHAT" },
        { title: "APPLICATION", shrinks: true },
        { title: "IMAGE" },
        { title: "OUTCOME" },
      ],
      entries.map(({ at, action, applicationId, imageId, outcome }) => [
        time(at),
        action,
        applicationId ?? "",
        shortId(imageId),
        {
          text: outcome,
          paint: (text: string) =>
            output.style(styles[outcome.split(":")[0] ?? ""] ?? "cyan", text),
        },
      ]),
      output.width,
    );
    for (const line of table) {
      output.line(line);
    }
    return 0;
  },
};
