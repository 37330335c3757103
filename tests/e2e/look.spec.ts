// How the panel looks and whether everybody can use it, in every state, both themes and two sizes, over
// invented data. Pictures go to test-results/look.
import { test, expect } from "@playwright/test";
import { FakeAgent } from "../fixtures/fake-agent.js";
import { inventWard } from "../fixtures/invented-ward.js";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { makeHome, openPanel, removeHome } from "./panel-app.js";

test("peek", async () => {
  const home = makeHome();
  const agent = new FakeAgent(join(home, "run/agent.sock"), inventWard(Date.now()));
  await agent.start();
  chmodSync(join(home, "run/agent.sock"), 0o666);
  const panel = await openPanel(home, { size: [1280, 720], theme: "light" });
  await panel.page.waitForTimeout(2500); console.log(panel.complaints, panel.page.url(), (await panel.page.content()).slice(0,1500)); await panel.page.screenshot({path:"test-results/look/peek-light.png"});
  await expect(panel.page.getByRole("heading", { name: "Ward board", level: 1 })).toBeVisible();
  await panel.page.waitForTimeout(1500);
  await panel.page.screenshot({ path: "test-results/look/peek-light.png" });
  await panel.page.emulateMedia({ colorScheme: "dark" });
  await panel.page.waitForTimeout(500);
  await panel.page.screenshot({ path: "test-results/look/peek-dark.png" });
  console.log(panel.complaints);
  await panel.close();
  await agent.stop();
  removeHome(home);
});
