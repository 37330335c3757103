// A panel on the real agent and the real helper, with the sample application: all of it gone at the end.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test as base } from "@playwright/test";
import { startAgent, type RunningAgent } from "../../scripts/session/agent-process.mjs";
import { preparePanel } from "../../scripts/session/panel-process.mjs";
import { prepareHome, sampleId } from "../../scripts/session/state-home.mjs";
import { makeHome, openPanel, removeHome, type PanelApp } from "./panel-app.js";
import { PanelPage } from "./panel-page.js";

export interface RealSession {
  readonly home: string;
  startAgent(): Promise<RunningAgent>;
  open(): Promise<{ panel: PanelApp; view: PanelPage }>;
}

export const test = base.extend<{ session: RealSession }>({
  // eslint-disable-next-line no-empty-pattern
  session: async ({}, use) => {
    const home = makeHome({ withApplications: false });
    await prepareHome(home);
    const agents: RunningAgent[] = [];
    const panels: PanelApp[] = [];
    const begin = async (): Promise<RunningAgent> => {
      const agent = await startAgent(home, (await preparePanel()).account.uid);
      agents.push(agent);
      return agent;
    };
    await use({
      home,
      startAgent: begin,
      open: async () => {
        const panel = await openPanel(home, { size: [1600, 1000] });
        panels.push(panel);
        return { panel, view: new PanelPage(panel.page) };
      },
    });
    for (const panel of panels) await panel.close();
    // Whatever state the test left: the sample must not outlive it.
    await stopSample(await begin());
    for (const agent of agents) await agent.stop();
    removeHome(home);
  },
});

export { expect } from "@playwright/test";

async function stopSample({ client }: RunningAgent): Promise<void> {
  const stop = await client.call("applications.stop", { app: sampleId }).catch(() => null);
  const operation = (stop as { operation?: { id: string } } | null)?.operation;
  if (operation !== undefined) await client.call("operations.wait", { operation: operation.id });
}

/** Whether a process with this PID is there. */
export function isAlive(pid: number): boolean {
  try {
    // A zombie is not alive, and somebody else's PID 1 takes its time to reap.
    return !/^State:\s+[ZX]/m.test(readFileSync(join("/proc", String(pid), "status"), "utf8"));
  } catch {
    return false;
  }
}
