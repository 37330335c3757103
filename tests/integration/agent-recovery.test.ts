/** The agent killed at bad moments: no application is harmed, and the next agent knows all of it. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, it, vi } from "vitest";

import { ControlClient } from "../fixtures/control-client.js";
import { memoryHolder, shell } from "./support/applications.js";
import { hasEnded, processState, TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

it("finds running applications again after it was killed", async () => {
  agent = await TestAgent.create({ shell }).up();
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  const terminal = await TestTerminal.open(agent.client, "shell");
  await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
  await agent.done(agent.client.call("capture.start", { app: "shell" }));
  const before = await agent.application("shell");

  await agent.down("SIGKILL");
  await agent.up();

  expect(await agent.application("shell")).toMatchObject({
    state: "running",
    life: before.life,
    imageCount: 1,
  });
  const again = await TestTerminal.open(agent.client, "shell");
  await again.ask("echo is-$word.", /is-kept\./);
});

it("sees what ended while it was away", async () => {
  agent = await TestAgent.create({ shell }).up();
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  const terminal = await TestTerminal.open(agent.client, "shell");
  await terminal.shows(/ready>/);
  await terminal.type("sleep 1; exit 9\r");
  const { life } = await agent.application("shell");
  await agent.down("SIGKILL");
  await vi.waitFor(() => {
    expect(hasEnded(life?.initPid ?? 0)).toBe(true);
  }, 10_000);
  await agent.up();
  expect(await agent.application("shell")).toMatchObject({
    state: "failed",
    stateReason: "ended with exit status 9",
    lastExit: { exitStatus: 9 },
  });
  expect(readdirSync(`${agent.home}/run/capsules`)).toEqual([]);
});

it.each([0, 20, 60, 120, 250])(
  "killed %i ms into a capture, it leaves the application running",
  async (afterMs) => {
    agent = await TestAgent.create({ memory: memoryHolder(150), shell }).up();
    await agent.done(agent.client.call("applications.start", { app: "memory" }));
    await agent.logShows("memory", /held/);
    const before = await agent.application("memory");
    const { operation } = await agent.client.call("capture.start", { app: "memory" });
    await delay(afterMs);

    await agent.down("SIGKILL");
    await agent.up();

    const after = await agent.application("memory");
    expect(after).toMatchObject({ state: "running", life: { initPid: before.life?.initPid } });
    expect(processState(after.life?.rootPid ?? 0)).toMatch(/[SR]/);
    const { operation: record } = await agent.client.call("operations.get", {
      operation: operation.id,
    });
    expect(record.state).toMatch(/failed|succeeded/);
    await agent.client.call("images.rescan", {});
    const images = await agent.images("memory");
    expect(readdirSync(agent.store)).toHaveLength(images.length);
    for (const image of images) {
      expect(existsSync(image.path)).toBe(true);
      await agent.done(agent.client.call("images.verify", { image: image.id }));
    }
    await agent.done(agent.client.call("capture.start", { app: "memory" }));
  },
);

it.each([0, 15, 40, 100])(
  "killed %i ms into a restore, it leaves one whole application",
  async (afterMs) => {
    agent = await TestAgent.create({ shell }).up();
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const terminal = await TestTerminal.open(agent.client, "shell");
    await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
    await agent.done(agent.client.call("capture.start", { app: "shell" }));
    await agent.client.call("restore.start", { app: "shell", captureFirst: false });
    await delay(afterMs);

    await agent.down("SIGKILL");
    await agent.up();

    const { life, state } = await agent.application("shell");
    expect(state).toBe("running");
    expect(readdirSync(`${agent.home}/run/capsules`)).toEqual([life?.capsuleId]);
    const again = await TestTerminal.open(agent.client, "shell");
    await again.ask("echo is-$word.", /is-kept\./);
  },
);

it("lets applications live on when it is ended in order, and cancels what it was doing", async () => {
  agent = await TestAgent.create({ memory: memoryHolder(300) }).up();
  await agent.done(agent.client.call("applications.start", { app: "memory" }));
  await agent.logShows("memory", /held/);
  const before = await agent.application("memory");
  await agent.client.call("capture.start", { app: "memory" });
  await delay(30);
  await agent.down("SIGTERM");
  expect(processState(before.life?.rootPid ?? 0)).toMatch(/[SR]/);
  await agent.up();
  expect(await agent.application("memory")).toMatchObject({
    state: "running",
    life: { initPid: before.life?.initPid },
  });
});

it.each(["SIGKILL", "SIGTERM"] as const)(
  "tells what became of a checkpoint that failed, also after the agent's %s",
  async (signal) => {
    // No image of it can ever fit.
    agent = await TestAgent.create({
      memory: `${memoryHolder(4)}[keep]\nbytes = "1M"\n`,
    }).up();
    await agent.done(agent.client.call("applications.start", { app: "memory" }));
    const control = async (): Promise<ControlClient> => {
      const { life } = await agent.application("memory");
      return ControlClient.connect(
        join(agent.home, "run/capsules", life?.capsuleId ?? "", "ctl/control.sock"),
      );
    };
    const ticket = "ticket-that-fails";
    const first = await control();
    const failed = await first.call("checkpoint", { ticket });
    expect(failed).toMatchObject({ outcome: "failed", code: "no-room" });
    first.close();

    await agent.down(signal);
    await agent.up();

    const second = await control();
    expect(await second.call("outcome", { ticket })).toEqual(failed);
    // Known is known: it is not tried again under the same ticket.
    expect(await second.call("checkpoint", { ticket })).toEqual(failed);
    expect(await second.call("outcome", { ticket: "never-heard-of" })).toEqual({
      outcome: "unknown",
    });
    second.close();
  },
);
