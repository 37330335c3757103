/**
 * What happens without anybody asking, on real processes: applications that hang are noticed, by a missing
 * heartbeat and by each kind of probe, and come back; images are taken when they come due; what is marked is
 * hibernated with the service and wakes with it.
 */
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it, vi } from "vitest";

import type { OccurrenceRecord, Trigger } from "../../electron/contract/index.js";
import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

const program = fileURLToPath(new URL("../fixtures/duty/duty.py", import.meta.url));

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

function duty(args: readonly string[], tables: string): string {
  return `command = ${JSON.stringify(["python3", program, ...args])}\nstop-grace = "1s"\n${tables}`;
}

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

async function occurrencesOf(app: string): Promise<OccurrenceRecord[]> {
  return (await agent.client.call("recovery.history", { app })).occurrences;
}

it("a hang is noticed by a missing heartbeat and by each kind of probe, and ends with a life that is well", async () => {
  const [tcp, http] = await Promise.all([freePort(), freePort()]);
  agent = TestAgent.create({});
  const touched = join(agent.home, "touched");
  const well = join(agent.home, "well");
  writeFileSync(well, "");
  const probe = (what: string): string =>
    `[recovery]\n[health]\ngrace = "500ms"\n[health.probe.it]\n${what}\n` +
    `interval = "200ms"\ntimeout = "2s"\nthreshold = 2\n`;
  const applications: Record<string, string> = {
    beating: duty(["--beat"], `[recovery]\n[health]\nheartbeat = "3s"\n`),
    command: duty([], probe(`command = ["test", "-e", "${well}"]`)),
    listening: duty(["--port", tcp], probe(`tcp = "127.0.0.1:${tcp}"`)),
    answering: duty(["--port", http], probe(`http = "http://127.0.0.1:${http}/health"`)),
    touching: duty(["--touch", touched], probe(`file = "${touched}"\nmax-age = "3s"`)),
  };
  for (const [id, text] of Object.entries(applications)) {
    agent.writeApplication(id, text);
  }
  await agent.up();
  const ids = Object.keys(applications);
  const images = new Map<string, string>();
  const pids = new Map<string, number>();
  await Promise.all(
    ids.map(async (app) => {
      await agent.done(agent.client.call("applications.start", { app }));
      await agent.logShows(app, /on duty/);
      const taken = await agent.done(agent.client.call("capture.start", { app }));
      images.set(app, taken.result?.imageId ?? "");
      pids.set(app, (await agent.application(app)).life?.rootPid ?? 0);
    }),
  );
  // Stopped, a process neither beats, touches nor answers; a listener of it still takes connections.
  for (const app of ["beating", "touching", "answering"]) {
    process.kill(pids.get(app) ?? 0, "SIGSTOP");
  }
  process.kill(pids.get("listening") ?? 0, "SIGUSR1");
  rmSync(well);

  const reasons: Readonly<Record<string, RegExp>> = {
    beating: /^hung: it sent no heartbeat for 3s$/,
    command: /^hung: its probe "it" failed 2 times in a row: its command ended with exit status 1$/,
    listening: /^hung: its probe "it" failed 2 times in a row: .*ECONNREFUSED/,
    answering: /^hung: its probe "it" failed 2 times in a row: no answer from http.* within 2s$/,
    touching:
      /^hung: its probe "it" failed 2 times in a row: .*touched was last written to \d+ s ago$/,
  };
  const found = new Map<string, OccurrenceRecord>();
  await vi.waitFor(async () => {
    for (const app of ids) {
      // The first that happened: what only fails for want of a file would soon fail again.
      const occurrence = (await occurrencesOf(app)).at(-1);
      if (occurrence?.state === "done") {
        found.set(app, occurrence);
      }
    }
    if (found.has("command")) {
      writeFileSync(well, "");
    }
    expect([...found.keys()].sort()).toEqual([...ids].sort());
  }, 30_000);
  for (const app of ids) {
    const occurrence = found.get(app);
    expect(occurrence?.happened).toMatch(reasons[app] ?? /never/);
    expect(occurrence, app).toMatchObject({
      kind: "hang",
      decision: { action: "restore", imageId: images.get(app) },
    });
  }
  // The lives that came of it do their duty for longer than any of these takes to be a hang: another one
  // would be another occurrence.
  await delay(3500);
  for (const app of ids.filter((each) => each !== "command")) {
    expect(await occurrencesOf(app), app).toHaveLength(1);
    const { life, state } = await agent.application(app);
    expect([state, life?.restoredFromImageId]).toEqual(["running", images.get(app)]);
  }
});

it("images come by themselves: every so often, when idle and not when busy, and when it is ready", async () => {
  agent = await TestAgent.create({
    regular: duty([], `[capture]\nevery = "5s"\n`),
    idle: duty([], `[capture]\nwhen-idle = "5s"\n`),
    busy: duty(["--busy"], `[capture]\nwhen-idle = "5s"\n`),
    ready: duty(["--ready"], `[capture]\nafter-ready = true\n`),
  }).up();
  const ids = ["regular", "idle", "busy", "ready"];
  await Promise.all(ids.map((app) => agent.done(agent.client.call("applications.start", { app }))));
  const expected: Readonly<Record<string, Trigger>> = {
    regular: "schedule",
    idle: "idle",
    ready: "ready",
  };
  await vi.waitFor(
    async () => {
      for (const [app, trigger] of Object.entries(expected)) {
        expect(
          (await agent.images(app)).map((image) => image.trigger),
          app,
        ).toContain(trigger);
      }
    },
    { timeout: 30_000, interval: 200 },
  );
  expect(await agent.images("busy")).toEqual([]);
  // Once for each time of idleness, and once for a life that is ready.
  expect(await agent.images("idle")).toHaveLength(1);
  expect(await agent.images("ready")).toHaveLength(1);
  for (const app of ids) {
    expect((await agent.application(app)).life?.number).toBe(1);
  }
});

it("the service's stop hibernates what is marked, and its next start wakes that", async () => {
  agent = await TestAgent.create({
    marked: `${shell}[capture]\nat-shutdown = true\n`,
    other: shell,
  }).up();
  for (const app of ["marked", "other"]) {
    await agent.done(agent.client.call("applications.start", { app }));
  }
  const terminal = await TestTerminal.open(agent.client, "marked");
  await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
  const other = (await agent.application("other")).life;

  // What the unit's ExecStop runs, and then systemd's SIGTERM.
  const { status, out, error } = agent.cli("hibernate-marked");
  expect([status, error]).toEqual([0, ""]);
  expect(out).toContain("marked");
  expect(await agent.application("marked")).toMatchObject({ state: "hibernated" });
  expect((await agent.images("marked"))[0]?.trigger).toBe("shutdown");
  await agent.down("SIGTERM");
  await agent.up();

  await vi.waitFor(async () => {
    expect((await agent.application("marked")).state).toBe("running");
  }, 15_000);
  const again = await TestTerminal.open(agent.client, "marked");
  await again.ask("echo is-$word.", /is-kept\./);
  expect((await agent.application("other")).life).toEqual(other);
});
