/** The `torpor` command: the operator's work from a terminal or a script. */
import { version } from "../../package.json";
import { AgentClient } from "../contract/client.js";
import { toFailure } from "../contract/index.js";
import { torporPaths } from "../contract/paths.js";
import type { Command, Context } from "./command.js";
import { commandHelp, generalHelp, parseCommandLine } from "./command-line.js";
import { appsCommand } from "./commands/apps.js";
import { attachCommand } from "./commands/attach.js";
import { auditCommand } from "./commands/audit.js";
import { completeWordsCommand } from "./commands/complete-words.js";
import { completionCommand } from "./commands/completion.js";
import { doctorCommand } from "./commands/doctor.js";
import { imageCommands } from "./commands/images.js";
import { inspectCommand } from "./commands/inspect.js";
import { lifeCommands } from "./commands/life.js";
import { noticeCommands } from "./commands/notices.js";
import { operationCommands } from "./commands/operations.js";
import { policyCommands } from "./commands/policy.js";
import { pruneCommand } from "./commands/prune.js";
import { recoveryCommands } from "./commands/recovery.js";
import { rescanCommand } from "./commands/rescan.js";
import { Output } from "./output.js";
import { reportFailure } from "./report-failure.js";

const commands: readonly Command[] = [
  appsCommand,
  ...lifeCommands,
  attachCommand,
  ...imageCommands,
  pruneCommand,
  rescanCommand,
  ...recoveryCommands,
  ...noticeCommands,
  auditCommand,
  ...policyCommands,
  ...operationCommands,
  inspectCommand,
  doctorCommand,
  completionCommand,
  completeWordsCommand(() => commands),
];

async function run(args: readonly string[]): Promise<number> {
  // What comes after "--" is no option.
  const end = args.indexOf("--");
  const json = args.slice(0, end === -1 ? undefined : end).includes("--json");
  const output = new Output({
    json,
    out: process.stdout,
    error: process.stderr,
    environment: process.env,
  });
  const [first] = args;
  if (first === "--version" || first === "-V") {
    output.data({ version });
    output.line(`torpor ${version}`);
    return 0;
  }
  if (args.length === 0 || first === "--help" || first === "-h" || first === "help") {
    // `torpor help capture` is `torpor capture --help`.
    const about = first === "help" ? args.slice(1).filter((word) => !word.startsWith("-")) : [];
    return about.length === 0 ? print(output, generalHelp(commands)) : run([...about, "--help"]);
  }
  let client: AgentClient | null = null;
  try {
    const parsed = parseCommandLine(commands, args);
    if (parsed.help) {
      return print(output, commandHelp(parsed.command));
    }
    const context: Context = {
      output,
      environment: process.env,
      agent: async () => {
        client ??= await AgentClient.connect(torporPaths(process.env).agentSocket);
        return client;
      },
    };
    return await parsed.command.run(parsed.invocation, context);
  } catch (error) {
    if (process.env.TORPOR_DEBUG !== undefined && error instanceof Error) {
      output.warn(error.stack ?? error.message);
    }
    return reportFailure(output, toFailure(error));
  } finally {
    (client as AgentClient | null)?.close();
  }
}

function print(output: Output, text: string): number {
  output.raw(text);
  return 0;
}

// A reader that has seen enough (`torpor images demo | head -1`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") {
    process.exit(0);
  }
});

process.exitCode = await run(process.argv.slice(2));
