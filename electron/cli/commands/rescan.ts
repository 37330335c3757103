/** `torpor rescan`: looks through the stores for images that came or went without the agent. */
import type { Command } from "../command.js";

export const rescanCommand: Command = {
  name: "rescan",
  summary: "Look through the stores for images that were put there or taken away",
  arguments: [],
  options: {},
  details: "The agent does so by itself when it starts. No file is changed.",
  async run(_invocation, { agent, output }) {
    const client = await agent();
    const found = await client.call("images.rescan", {});
    output.data(found);
    const { added, missing, returned, unreadable } = found;
    const parts: readonly (readonly [number, string])[] = [
      [added, "new"],
      [returned, "back again"],
      [missing, "missing"],
      [unreadable, "not readable as an image"],
    ];
    const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    output.line(said.length === 0 ? "Nothing has changed." : `Found: ${said.join(", ")}.`);
    return 0;
  },
};
