/** `torpor doctor`: what this machine can do, and what is missing for what. */
import type { Command } from "../command.js";
import { size } from "../quantities.js";
import { textTable } from "../text-table.js";

/** Something is missing: the exit status of a missing resource. */
const MISSING = 6;

export const doctorCommand: Command = {
  name: "doctor",
  summary: "Tell what this machine can do and what is missing",
  arguments: [],
  options: {},
  async run(_invocation, { agent, output }) {
    const client = await agent();
    const report = await client.call("doctor.run", {});
    output.data(report);
    output.line(`Kernel ${report.kernel}, ${report.arch}`);
    output.line();
    const table = textTable(
      [
        { title: "" },
        { title: "FEATURE" },
        { title: "NEEDED FOR", shrinks: true },
        { title: "DETAIL", leaves: 1 },
      ],
      report.features.map((feature) => [
        {
          text: feature.ok ? "ok" : feature.required === false ? "–" : "no",
          paint: (text: string) =>
            output.style(
              feature.ok ? "green" : feature.required === false ? "yellow" : "red",
              text,
            ),
        },
        feature.name,
        feature.neededFor,
        feature.detail ?? "",
      ]),
      output.width,
    );
    for (const line of table) {
      output.line(line);
    }
    for (const { ok, name, remedy } of report.features) {
      if (!ok && remedy !== null) {
        output.line(`${output.style("yellow", name)}: ${remedy}`);
      }
    }
    output.line();
    for (const store of report.stores) {
      output.line(
        store.usable
          ? `Store ${store.path}: ${size(store.freeBytes ?? 0)} free of ${size(store.totalBytes ?? 0)}`
          : output.style("red", store.problem ?? store.path),
      );
    }
    for (const problem of report.applicationProblems) {
      output.line(output.style("red", problem));
    }
    output.line();
    output.line(
      report.ok
        ? output.style("green", "All is well.")
        : output.style("yellow", "Something is missing; see above."),
    );
    return report.ok ? 0 : MISSING;
  },
};
