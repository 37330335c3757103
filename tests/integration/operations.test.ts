/** Operations as jobs: one writer per application, progress, cancellation. */
import { afterEach, beforeEach, expect, it } from "vitest";

import type { OperationRecord } from "../../electron/contract/index.js";
import { memoryHolder, shell } from "./support/applications.js";
import { processState, TestAgent } from "./support/test-agent.js";
import { readdirSync } from "node:fs";

let agent: TestAgent;

beforeEach(async () => {
  agent = await TestAgent.create({ memory: memoryHolder(200), shell }).up();
  await agent.done(agent.client.call("applications.start", { app: "memory" }));
  await agent.logShows("memory", /held/);
});
afterEach(async () => {
  await agent.destroy();
});

it("refuses a second operation on one application and names the first; others go on", async () => {
  const { operation } = await agent.client.call("capture.start", { app: "memory" });
  for (const second of [
    () => agent.client.call("capture.start", { app: "memory" }),
    () => agent.client.call("applications.stop", { app: "memory" }),
    () => agent.client.call("capture.start", { app: "memory", hibernate: true }),
  ]) {
    await expect(second()).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining(operation.id) as string,
      failure: { detail: { operationId: operation.id } },
    });
  }
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  expect(await agent.client.waitFor(operation.id)).toMatchObject({ state: "succeeded" });
});

it("tells phases and bytes while it goes on", async () => {
  const seen: OperationRecord[] = [];
  agent.client.on("operation.changed", ({ operation }) => seen.push(operation));
  await agent.client.call("events.subscribe", { events: ["operation.changed"] });
  const ended = await agent.done(agent.client.call("capture.start", { app: "memory" }));
  const phases = [...new Set(seen.filter(({ id }) => id === ended.id).map(({ phase }) => phase))];
  expect(phases).toContain("memory");
  expect(phases.at(-1)).toBe("done");
  const memory = seen.filter(
    ({ phase, totalBytes }) => phase === "memory" && (totalBytes ?? 0) > 0,
  );
  expect(memory.at(-1)?.totalBytes).toBeGreaterThanOrEqual(200 << 20);
});

it("cancels a capture: no file, and the application runs on", async () => {
  const before = await agent.application("memory");
  const { operation } = await agent.client.call("capture.start", { app: "memory" });
  await agent.client.call("operations.cancel", { operation: operation.id });
  const ended = await agent.client.waitFor(operation.id);
  // On a fast disk it may have been done before it heard.
  expect(ended.state).toMatch(/cancelled|succeeded/);
  const images = await agent.images("memory");
  expect(readdirSync(agent.store)).toHaveLength(images.length);
  const after = await agent.application("memory");
  expect(after).toMatchObject({ state: "running", life: { initPid: before.life?.initPid } });
  expect(processState(after.life?.rootPid ?? 0)).toMatch(/[SR]/);
});

it("captures two applications at once", async () => {
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  const begun = ["memory", "shell"].map((app) =>
    agent.done(agent.client.call("capture.start", { app })),
  );
  expect((await Promise.all(begun)).map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
});
