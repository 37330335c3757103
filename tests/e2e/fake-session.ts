// A panel on invented data, for one test: home, pretending agent and window, all gone at its end.
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test as base } from "@playwright/test";
import { FakeAgent } from "../fixtures/fake-agent.js";
import { inventWard, type Ward } from "../fixtures/invented-ward.js";
import { makeHome, openPanel, removeHome, type PanelApp } from "./panel-app.js";
import { PanelPage } from "./panel-page.js";

export interface FakeSession {
  readonly agent: FakeAgent;
  readonly home: string;
  /** Starts the agent, if it is not started yet, and opens its socket to the panel's user. */
  startAgent(): Promise<void>;
  open(options?: Parameters<typeof openPanel>[1]): Promise<{ panel: PanelApp; view: PanelPage }>;
}

export const test = base.extend<{ ward: Ward; session: FakeSession }>({
  // eslint-disable-next-line no-empty-pattern
  ward: async ({}, use) => {
    await use(inventWard(Date.now()));
  },
  session: async ({ ward }, use) => {
    const home = makeHome();
    const socket = join(home, "run/agent.sock");
    const agent = new FakeAgent(socket, ward);
    const opened: PanelApp[] = [];
    await use({
      agent,
      home,
      startAgent: async () => {
        await agent.start();
        chmodSync(socket, 0o666);
      },
      open: async (options) => {
        const panel = await openPanel(home, options);
        opened.push(panel);
        return { panel, view: new PanelPage(panel.page) };
      },
    });
    for (const panel of opened) await panel.close();
    await agent.stop();
    removeHome(home);
  },
});

export { expect } from "@playwright/test";
