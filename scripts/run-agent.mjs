// `npm run agent`: the agent alone, in the foreground, as root, its log on this terminal.
import { spawn } from "node:child_process";
import { join } from "node:path";

import { nodePath } from "./command.mjs";
import { checkout, helperPath } from "./paths.mjs";
import { asRoot, isRoot, operatorAccount } from "./privileges.mjs";
import { prepareHome, stateHome } from "./session/state-home.mjs";
import { runScript } from "./setback.mjs";
import { setup } from "./setup.mjs";

await runScript(async () => {
  await setup({ panel: false, tests: false });
  const account = operatorAccount();
  const home = stateHome(account);
  await prepareHome(home);
  console.log(`State: ${home}. From another terminal: TORPOR_HOME=${home} npx torpor apps`);
  const [program = "", ...args] = [
    ...asRoot({
      TORPOR_HOME: home,
      TORPOR_HELPER: helperPath,
      TORPOR_OPERATOR_UID: String(account.uid),
    }),
    nodePath(),
    join(checkout, "dist/agent/agent.js"),
    ...process.argv.slice(2),
  ];
  const child = spawn(program, args, { stdio: "inherit" });
  // The agent gets the terminal's Ctrl-C itself and ends in order; this only waits for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  if (!isRoot) process.on("SIGHUP", () => child.kill("SIGHUP"));
  return new Promise((resolve) => {
    child.on("error", () => resolve(127));
    child.on("exit", (code) => resolve(code ?? 1));
  });
});
