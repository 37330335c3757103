/** `torpor policy check`: what an application's file says, and what would happen next. */
import type { Decision, ImageRecord, PolicyCheck } from "../../contract/index.js";
import type { Command } from "../command.js";
import type { Output } from "../output.js";
import { time } from "../quantities.js";
import { describeDecision } from "./recovery.js";

export const policyCommand: Command = {
  name: "policy check",
  summary: "Check the policy of an application and say what would happen next",
  arguments: [{ name: "APP", kind: "application", optional: true }],
  options: {},
  details: "Without APP: of all applications. Exit status 2 when a file has an error.",
  async run(invocation, { agent, output }) {
    const [app] = invocation.positionals;
    const client = await agent();
    const { checks } = await client.call("policy.check", app === undefined ? {} : { app });
    output.data({ checks });
    const { images } = await client.call("images.list", app === undefined ? {} : { app });
    for (const check of checks) {
      describe(check, images, output);
    }
    return checks.some(({ problem }) => problem !== null) ? 2 : 0;
  },
};

function describe(check: PolicyCheck, images: readonly ImageRecord[], output: Output): void {
  const { problem } = check;
  output.line(output.style("bold", check.applicationId));
  if (problem !== null) {
    const place = problem.line === null ? problem.file : `${problem.file}, line ${problem.line}`;
    const key = problem.key === null ? "" : `, key "${problem.key}"`;
    output.line(output.style("red", `  ${place}${key}: ${problem.message}`));
    if (check.keeps.length === 0) {
      output.line("  None of it holds until that is corrected.");
      return;
    }
  }
  const list = (parts: readonly string[], none: string): string =>
    parts.length === 0 ? none : parts.join("; ");
  output.line(`  Images are taken  ${list(check.captures, "only when somebody asks")}`);
  if (check.nextCaptureAt !== null) {
    output.line(`  Next one due      ${time(check.nextCaptureAt)}`);
  }
  output.line(`  Images kept       ${list(check.keeps, "all of them")}`);
  output.line(`  Watched by        ${list(check.health, "its processes only")}`);
  const steps: [string, Decision | null][] = [
    ["At the next crash", check.onCrash],
    ["At the next hang", check.onHang],
    ["At the next start", check.onStart],
  ];
  for (const [when, decision] of steps) {
    output.line(`  ${when}:`);
    if (decision === null) {
      output.line(check.supervised ? "    nothing" : "    nothing: its file has no [recovery]");
    } else {
      describeDecision(decision, images, output, "    ");
    }
  }
}
