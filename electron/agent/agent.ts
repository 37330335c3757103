/** The agent's program: checks who starts it, runs it in the foreground, ends it on SIGTERM and SIGINT. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { exitStatusOfCode, toFailure } from "../contract/index.js";
import { version } from "../../package.json";
import { ServiceManager } from "./helper/service-manager.js";
import { createLog } from "./log.js";
import { nodeProblem } from "./node-version.js";
import { startAgent } from "./start-agent.js";

const USAGE = `torpor-agent: looks after the applications in apps.d and serves the operator socket.

It takes no arguments and runs in the foreground, as root. Environment:
  TORPOR_HOME            one folder for all state, instead of /etc, /var/lib and /run
  TORPOR_HELPER          the torpor-helper binary, where it is not beside the agent
  TORPOR_OPERATOR_GROUP  the group that may use the socket (default: torpor, if there is one)
  TORPOR_OPERATOR_UID    a user that may use it as well
  TORPOR_LOG             trace, debug, info (default), warn or error
`;

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"];

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.length > 0) {
    const asked = args[0] === "--help" || args[0] === "-h";
    (asked ? process.stdout : process.stderr).write(USAGE);
    process.exitCode = asked ? 0 : exitStatusOfCode.usage;
    return;
  }
  const problem = nodeProblem(process.versions.node);
  if (problem !== undefined) {
    process.stderr.write(`torpor-agent: ${problem}\n`);
    process.exitCode = exitStatusOfCode.resource;
    return;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write(
      "torpor-agent: must run as root: it freezes, reads and builds processes of other users. " +
        'Start it with sudo, or let its unit do it; the panel and the "torpor" command run as an ordinary user.\n',
    );
    process.exitCode = exitStatusOfCode["not-permitted"];
    return;
  }
  const level = process.env.TORPOR_LOG ?? "info";
  const log = createLog(LOG_LEVELS.includes(level) ? level : "info", process.stderr.isTTY);
  const agent = await startAgent({
    environment: process.env,
    agentFolder: dirname(fileURLToPath(import.meta.url)),
    version,
    log,
  });
  const manager = new ServiceManager(process.env, log);
  log.info({ readyMs: Math.round(agent.readyMs), socket: agent.paths.agentSocket }, "agent ready");

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) {
      return;
    }
    stopping = true;
    log.info({ signal }, "agent ends; applications run on");
    void Promise.all([manager.stopping(), agent.stop()]).finally(() => process.exit(0));
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  // A terminal that goes away is no reason to leave applications without an agent.
  process.on("SIGHUP", () => undefined);
  await manager.ready(`Serves ${agent.paths.agentSocket}`);
  process.on("uncaughtException", (error) => {
    log.fatal({ stack: error.stack }, "a defect ended the agent; applications run on");
    process.exit(exitStatusOfCode.internal);
  });
}

main().catch((error: unknown) => {
  const failure = toFailure(error);
  process.stderr.write(`torpor-agent: ${failure.message}\n`);
  if (process.env.TORPOR_DEBUG !== undefined && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ""}\n`);
  }
  process.exit(exitStatusOfCode[failure.code]);
});
