/** `torpor inspect`: a tree, its sizes, and what stands in the way of a capture. */
import { fail, type Blocker, type Inspection } from "../../contract/index.js";
import { textOption, type Command } from "../command.js";
import type { Output, Style } from "../output.js";
import { size } from "../quantities.js";
import { textTable } from "../text-table.js";

export const inspectCommand: Command = {
  name: "inspect",
  summary: "Show a running tree, its three sizes, and what can't be captured",
  arguments: [{ name: "APP", kind: "application", optional: true }],
  options: {
    pid: {
      type: "string",
      short: "p",
      value: "PID",
      help: "any process of this machine, instead of an application",
    },
  },
  async run(invocation, { agent, output }) {
    const app = invocation.positionals[0];
    const pid = textOption(invocation, "pid");
    if ((app === undefined) === (pid === undefined)) {
      fail("usage", { happened: "inspect takes either an application or --pid PID." });
    }
    if (pid !== undefined && !/^[1-9]\d{0,6}$/.test(pid)) {
      fail("usage", { happened: `--pid must be the number of a process, not "${pid}".` });
    }
    const client = await agent();
    const params = pid === undefined ? { app: app ?? "" } : { pid: Number(pid) };
    const { inspection } = await client.call("inspect.run", params);
    output.data({ inspection });
    describe(inspection, output);
    return 0;
  },
};

function describe(inspection: Inspection, output: Output): void {
  const { sizes, processes, blockers, warnings } = inspection;
  output.line(
    `System state ${size(sizes.systemStateBytes)}, physical memory ${size(sizes.physicalBytes)}, virtual memory ${size(sizes.virtualBytes)}`,
  );
  output.line();
  const table = textTable(
    [
      { title: "PID", align: "right" },
      { title: "PARENT", align: "right" },
      { title: "THREADS", align: "right" },
      { title: "USER", align: "right" },
      { title: "STATE" },
      { title: "COMMAND", shrinks: true },
    ],
    processes.map((each) => [
      String(each.pid),
      String(each.ppid),
      String(each.threads),
      String(each.uid),
      each.state,
      each.cmdline.join(" ").replaceAll(/\p{Cc}/gu, " ") || `[${each.comm}]`,
    ]),
    output.width,
  );
  for (const line of table) {
    output.line(line);
  }
  output.line();
  list("can't be captured", "red", blockers, output);
  list("may not come back as it was", "yellow", warnings, output);
  if (blockers.length === 0) {
    output.line(output.style("green", "It can be captured."));
  }
}

function list(title: string, style: Style, blockers: readonly Blocker[], output: Output): void {
  for (const blocker of blockers) {
    const who =
      blocker.pid === null
        ? ""
        : `process ${blocker.pid}${blocker.comm === null ? "" : ` (${blocker.comm})`}, `;
    output.line(`${output.style(style, title)}: ${who}${blocker.subject}: ${blocker.message}`);
    if (blocker.remedy !== null) {
      output.line(`  ${blocker.remedy}`);
    }
  }
}
