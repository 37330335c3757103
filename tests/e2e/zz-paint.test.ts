import { it } from "vitest";
import { spawn } from "node:child_process";
import { chmodSync } from "node:fs";
import { FakeAgent } from "/work/main/tests/fixtures/fake-agent.js";
import { inventWard } from "/work/main/tests/fixtures/invented-ward.js";
import { makeHome, removeHome } from "/work/main/tests/e2e/panel-app.js";
import { preparePanel, panelLauncher } from "/work/main/scripts/session/panel-process.mjs";
it("paint", async () => {
  const home = makeHome();
  const agent = new FakeAgent(home + "/run/agent.sock", inventWard(Date.now()));
  await agent.start(); chmodSync(home + "/run/agent.sock", 0o666);
  const place = await preparePanel(); const exe = await panelLauncher(place);
  for (let i = 0; i < 4; i++) {
    const t0 = Date.now();
    const child = spawn(exe, [...place.args, place.appFolder, "--user-data-dir=" + (i < 1 ? "/var/tmp/pp-profile-a" : "/var/tmp/pp-profile-a"), "--remote-debugging-port=9333"], { env: { ...process.env, ...place.environment, TORPOR_HOME: home }, stdio: "ignore" });
    let page: any;
    while (page === undefined) { await new Promise((r) => setTimeout(r, 100)); try { page = ((await (await fetch("http://127.0.0.1:9333/json")).json()) as any[]).find((p) => p.type === "page"); } catch {} }
    await new Promise((r) => setTimeout(r, 2500));
    const ws = new WebSocket(page.webSocketDebuggerUrl); await new Promise((r) => (ws.onopen = r));
    const answer: any = await new Promise((r) => { ws.onmessage = (m) => r(JSON.parse(String(m.data))); ws.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { returnByValue: true, expression: "({o:performance.timeOrigin,n:performance.getEntriesByType('navigation').map(n=>[n.responseEnd,n.domInteractive,n.domContentLoadedEventEnd]),p:performance.getEntriesByType('paint').map(e=>e.startTime),h:document.querySelector('h1')?.textContent})" } })); });
    const v = answer.result.result.value;
    console.log(`nav at ${Math.round(v.o - t0)} ms, first contentful paint at ${Math.round(v.o + v.p[1] - t0)} ms`, JSON.stringify(v));
    ws.close(); child.kill("SIGTERM"); await new Promise((r) => child.on("exit", r));
  }
  await agent.stop(); removeHome(home);
}, 90000);
