// `npm start`: brings what is missing, starts the agent as root, and opens the panel as an ordinary user; where
// there is no display (or with --terminal), gives the same tour in the terminal. Ctrl-C ends what this started.
import { spawn } from "node:child_process";
import { join } from "node:path";

import { nodePath } from "./command.mjs";
import { checkout } from "./paths.mjs";
import { asRoot, isRoot, operatorAccount } from "./privileges.mjs";
import { startAgent } from "./session/agent-process.mjs";
import { findDisplay } from "./session/display.mjs";
import { prepareHome, sampleId, stateHome } from "./session/state-home.mjs";
import { runScript, Setback } from "./setback.mjs";
import { setup } from "./setup.mjs";

/** The second half, as root: everything is set up. */
const sessionOnly = "--session-only";

await runScript(async () => {
  const options = process.argv.slice(2);
  const display = options.includes("--terminal")
    ? { reason: "asked for the terminal" }
    : await findDisplay();
  if (!options.includes(sessionOnly)) {
    await setup({ panel: "name" in display, tests: false });
    // The pinned Node from here on; and root, which the agent needs.
    return inSession(options);
  }
  return "name" in display ? withPanel(display.name) : inTerminal(display.reason);
});

/**
 * Goes on as root and on the pinned Node.
 * @param {string[]} options
 * @returns {Promise<number>}
 */
function inSession(options) {
  /** @type {Record<string, string>} */
  const variables = {};
  const handedOn =
    /^(TORPOR_.*|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|XDG_RUNTIME_DIR|XDG_SESSION_TYPE|ELECTRON_OVERRIDE_DIST_PATH|PATH)$/;
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && handedOn.test(name)) variables[name] = value;
  }
  const [program = "", ...args] = [
    ...(isRoot ? [] : asRoot(variables)),
    nodePath(),
    join(checkout, "scripts/start.mjs"),
    sessionOnly,
    ...options,
  ];
  // Both get the terminal's Ctrl-C; the session is the one that acts on it.
  const handOver = (/** @type {NodeJS.Signals} */ signal) => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const child = spawn(program, args, { stdio: "inherit" });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, handOver);
  }
  return new Promise((resolve) => {
    child.on("error", () => resolve(127));
    child.on("exit", (code) => resolve(code ?? 130));
  });
}

async function startSession() {
  const account = operatorAccount();
  const home = stateHome(account);
  await prepareHome(home);
  const agent = await startAgent(home, account.uid);
  return { account, home, agent };
}

/** @param {string} display */
async function withPanel(display) {
  const { openPanel, preparePanel } = await import("./session/panel-process.mjs");
  const asked = signalled();
  const place = await preparePanel();
  const { account, home, agent } = await startSession();
  let startedSample = false;
  try {
    startedSample = await startSampleIfStopped(agent.client);
    const info = await agent.client.call("system.info");
    console.log(
      `${agent.startedHere ? "The agent is ready" : "An agent was running already"} (process ${info.pid}); ` +
        `the panel opens on display ${display} as user ${account.name}.\n` +
        `State: ${home}. From another terminal: TORPOR_HOME=${home} npx torpor apps\n` +
        "Ctrl-C, or closing the window, ends what this command started; images stay.",
    );
    const opened = Date.now();
    const panel = openPanel(place, home);
    const outcome = await Promise.race([
      panel.ended,
      agent.ended.then(() => "agent-ended"),
      asked.then(() => "asked"),
    ]);
    if (outcome === "agent-ended") {
      panel.stop();
      throw new Setback("the agent ended unexpectedly", `Its log: ${home}/lib/agent.log`);
    }
    if (typeof outcome === "string") {
      panel.stop();
      await panel.ended;
    } else if (outcome.status !== 0 && Date.now() - opened < 10_000) {
      throw new Setback(
        `the panel ended with status ${outcome.status} right after its start`,
        "Its last words are above. Where the kernel keeps ordinary users from creating user namespaces, Chromium's sandbox can't work: allow them, or use the terminal: npm run tour",
        outcome.output,
      );
    }
  } finally {
    await endSession(agent, startedSample);
  }
}

/** @param {string} reason */
async function inTerminal(reason) {
  const { giveTour } = await import("./session/tour.mjs");
  console.log(`No display at hand (${reason}): the tour in the terminal.\n`);
  const asked = signalled();
  const { home, agent } = await startSession();
  let startedSample = false;
  try {
    const { application } = await agent.client.call("applications.get", { app: sampleId });
    startedSample = application.life === null;
    const outcome = await Promise.race([
      giveTour(agent.client).then(() => "done"),
      asked.then(() => "asked"),
    ]);
    if (outcome === "asked") console.log("\nInterrupted.");
  } finally {
    await endSession(agent, startedSample);
  }
  console.log(
    `\nThe images stay in ${home}/lib/store. To go on from here: npm run agent (as root), and in another terminal` +
      `\n  TORPOR_HOME=${home} npx torpor images ${sampleId}`,
  );
}

/**
 * Ends what this session started: the sample if it was not running before, then the agent. Applications that
 * the operator started meanwhile run on, as they would if the agent were restarted.
 * @param {import("./session/agent-process.mjs").RunningAgent} agent
 * @param {boolean} startedSample
 */
async function endSession(agent, startedSample) {
  try {
    if (startedSample) await agent.client.carryOut("applications.stop", { app: sampleId });
  } catch {
    // It is not running any more, or the agent is gone: then there is nothing to stop, or nobody to do it.
  }
  if (!agent.startedHere) return agent.stop();
  try {
    const { applications } = await agent.client.call("applications.list");
    const running = applications.filter(
      (/** @type {{life: unknown}} */ each) => each.life !== null,
    );
    if (running.length > 0) {
      const ids = running.map((/** @type {{id: string}} */ each) => each.id).join(", ");
      console.log(`Still running, as applications do without the agent: ${ids}`);
    }
  } catch {
    // Only a courtesy.
  }
  return agent.stop();
}

/** @param {import("./session/operator-client.mjs").OperatorClient} client */
async function startSampleIfStopped(client) {
  const { applications } = await client.call("applications.list");
  const sample = applications.find((/** @type {{id: string}} */ each) => each.id === sampleId);
  if (sample?.state !== "stopped") return false;
  try {
    await client.carryOut("applications.start", { app: sampleId });
    return true;
  } catch (error) {
    if (!(error instanceof Setback)) throw error;
    // The panel shows it too, and everything else of it works.
    console.error(`The sample application did not start: ${error.message} ${error.how}`);
    return false;
  }
}

/** Resolves at the first Ctrl-C or polite end; a second one ends this at once. */
function signalled() {
  return new Promise((resolve) => {
    let first = true;
    for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
      process.on(signal, () => {
        if (first) resolve(signal);
        // Ctrl-C also arrives by way of the parent: not counted twice within a moment.
        else if (Date.now() - since > 1000) process.exit(130);
        else return;
        first = false;
        since = Date.now();
      });
    }
    let since = 0;
  });
}
