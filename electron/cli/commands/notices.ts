/** `torpor notices` and `torpor notice dismiss`: what the agent has to tell, kept until somebody has read it. */
import { fail, type Notice } from "../../contract/index.js";
import { flag, type Command, type Invocation } from "../command.js";
import type { Output, Style } from "../output.js";
import { time } from "../quantities.js";

const styles: Readonly<Record<Notice["severity"], Style>> = {
  error: "red",
  warning: "yellow",
  info: "cyan",
};

export const noticeCommands: readonly Command[] = [
  {
    name: "notices",
    summary: "List what went wrong and nobody has read yet, newest first",
    arguments: [{ name: "APP", kind: "application", optional: true }],
    options: {},
    details:
      "A notice stays until it is dismissed, here or in the panel: torpor notice dismiss NUMBER.",
    async run(invocation, { agent, output }) {
      const [app] = invocation.positionals;
      const client = await agent();
      if (app !== undefined) {
        // So that a mistyped name is an error, and not good news.
        await client.call("applications.get", { app });
      }
      const { notices: all } = await client.call("notices.list", {});
      const notices = app === undefined ? all : all.filter((each) => each.applicationId === app);
      output.data({ notices });
      if (notices.length === 0) {
        output.line("Nothing to tell.");
      }
      for (const notice of notices) {
        describe(notice, output);
      }
      return 0;
    },
  },
  {
    name: "notice dismiss",
    summary: "Take notices that have been read off the list",
    arguments: [{ name: "NUMBER", kind: "notice", optional: true }],
    options: { all: { type: "boolean", help: "every one that is there now" } },
    async run(invocation, { agent, output }) {
      const number = numberOf(invocation);
      const client = await agent();
      const { notices } = await client.call("notices.list", {});
      const chosen = number === null ? notices : notices.filter(({ id }) => id === number);
      if (number !== null && chosen.length === 0) {
        fail("usage", {
          happened: `There is no notice ${number}; it may have been dismissed already.`,
          remedy: "See: torpor notices",
        });
      }
      // One by one: what has come since the list was made has not been read by anybody.
      for (const { id } of chosen) {
        await client.call("notices.dismiss", { id });
      }
      output.data({ dismissed: chosen.map(({ id }) => id) });
      output.line(
        chosen.length === 1 ? "Dismissed 1 notice." : `Dismissed ${chosen.length} notices.`,
      );
      return 0;
    },
  },
];

/** Null: all of them. */
function numberOf(invocation: Invocation): number | null {
  const [word] = invocation.positionals;
  if ((word === undefined) !== flag(invocation, "all")) {
    fail("usage", { happened: "notice dismiss takes either the number of a notice or --all." });
  }
  if (word !== undefined && !/^[1-9]\d{0,14}$/.test(word)) {
    fail("usage", {
      happened: `"${word}" is not the number of a notice.`,
      remedy: "See: torpor notices",
    });
  }
  return word === undefined ? null : Number(word);
}

function describe({ id, at, severity, applicationId, message }: Notice, output: Output): void {
  const about = applicationId === null ? "" : `  ${output.style("bold", applicationId)}`;
  output.line(`${id}  ${time(at)}  ${output.style(styles[severity], severity)}${about}`);
  output.line(`    ${message}`);
}
