/** `torpor apps`: the applications, their states, and the sizes of what runs. */
import type { AgentClient } from "../../contract/client.js";
import type { ApplicationRecord, ApplicationState, Measurement } from "../../contract/index.js";
import type { Command } from "../command.js";
import type { Output, Style } from "../output.js";
import { shortId, size, time } from "../quantities.js";
import { textTable } from "../text-table.js";

/** How long the agent gets to measure what runs. */
const MEASURE_TIMEOUT_MS = 3000;

const styles: Partial<Record<ApplicationState, Style>> = {
  running: "green",
  hibernated: "cyan",
  failed: "red",
  stopped: "dim",
};

export const appsCommand: Command = {
  name: "apps",
  summary: "List the applications with their states and sizes",
  arguments: [],
  options: {},
  async run(_invocation, { output, agent }) {
    const client = await agent();
    const { applications } = await client.call("applications.list", {});
    const measured = await measure(client, applications);
    const records = applications.map((each) => ({
      ...each,
      measurement: measured.get(each.id) ?? each.measurement,
    }));
    output.data({ applications: records });
    if (records.length === 0) {
      const { applicationsFolder } = await client.call("system.info", {});
      output.line(`No applications yet. Put a file such as demo.toml into ${applicationsFolder}.`);
      return 0;
    }
    for (const line of applicationTable(records, output)) {
      output.line(line);
    }
    for (const { id, stateReason, state } of records) {
      if (stateReason !== null && state === "failed") {
        output.line(output.style("dim", `${id}: ${stateReason}`));
      }
    }
    const { notices } = await client.call("notices.list", {});
    if (notices.length > 0) {
      const count = notices.length === 1 ? "1 notice" : `${notices.length} notices`;
      output.line(output.style("yellow", `${count} not read yet: torpor notices`));
    }
    return 0;
  },
};

/** The agent measures only what somebody looks at: look, until every running one has been measured. */
async function measure(
  client: AgentClient,
  applications: readonly ApplicationRecord[],
): Promise<Map<string, Measurement>> {
  const measured = new Map<string, Measurement>();
  const running = applications.filter((each) => each.life !== null).map((each) => each.id);
  if (running.length === 0) {
    return measured;
  }
  await client.call("events.subscribe", { events: ["application.measured"] });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, MEASURE_TIMEOUT_MS);
    client.on("application.measured", ({ applicationId, measurement }) => {
      measured.set(applicationId, measurement);
      if (measured.size === running.length) {
        clearTimeout(timer);
        resolve();
      }
    });
    client.call("applications.watch", { apps: running }).catch(reject);
  });
  return measured;
}

function applicationTable(applications: readonly ApplicationRecord[], output: Output): string[] {
  return textTable(
    [
      { title: "APPLICATION" },
      { title: "NAME", shrinks: true, leaves: 6 },
      { title: "STATE" },
      { title: "SINCE", leaves: 5 },
      { title: "SYSTEM STATE", align: "right", leaves: 1 },
      { title: "PHYSICAL", align: "right", leaves: 4 },
      { title: "VIRTUAL", align: "right", leaves: 3 },
      { title: "IMAGES", align: "right", leaves: 7 },
      { title: "AT IMAGE", leaves: 2 },
    ],
    applications.map((each) => {
      const sizes = each.measurement?.sizes;
      return [
        each.id,
        each.name,
        {
          text: each.state,
          paint: (text: string) => output.style(styles[each.state] ?? "yellow", text),
        },
        time(each.life?.startedAt ?? each.stateSince),
        sizes === undefined ? "–" : size(sizes.systemStateBytes),
        sizes === undefined ? "–" : size(sizes.physicalBytes),
        sizes === undefined ? "–" : size(sizes.virtualBytes),
        String(each.imageCount),
        shortId(each.life?.currentImageId ?? each.hibernatedImageId),
      ];
    }),
    output.width,
  );
}
