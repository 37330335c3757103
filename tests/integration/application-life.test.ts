/** One application through all that an operator does with it, on real processes. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { shell } from "./support/applications.js";
import { hasEnded, TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

let agent: TestAgent;

beforeEach(async () => {
  agent = await TestAgent.create({ shell }).up();
});
afterEach(async () => {
  await agent.destroy();
});

describe("a shell", () => {
  it("comes back as it was captured, with its PIDs, and hibernates across the agent's end", async () => {
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const terminal = await TestTerminal.open(agent.client, "shell");
    await terminal.shows(/ready>/);
    await terminal.ask("word=first; sleep 10000 & echo child=$!.", /child=\d+\./);
    const [, pids] = await terminal.ask("echo pids=$$,$!.", /pids=(\d+,\d+)\./);

    const captured = await agent.done(
      agent.client.call("capture.start", { app: "shell", label: "with first" }),
    );
    const imageId = captured.result?.imageId ?? "";
    await terminal.ask("word=second; echo now-$word.", /now-second\./);
    const before = await agent.application("shell");

    const restored = await agent.done(
      agent.client.call("restore.start", { app: "shell", image: imageId, captureFirst: true }),
    );
    expect(restored.result?.beforeImageId).toMatch(/^[0-9a-f]{32}$/);
    expect(terminal.text).not.toContain("now-second");
    await terminal.ask("echo is-$word,$$,$!.", new RegExp(`is-first,${pids ?? "none"}\\.`));
    const after = await agent.application("shell");
    expect(after.life).toMatchObject({
      number: (before.life?.number ?? 0) + 1,
      restoredFromImageId: imageId,
    });
    expect(hasEnded(before.life?.initPid ?? 0)).toBe(true);

    const hibernated = await agent.done(
      agent.client.call("capture.start", { app: "shell", hibernate: true }),
    );
    await vi.waitFor(() => {
      expect(terminal.closedReason).toBe("hibernated");
    });
    expect(hasEnded(after.life?.initPid ?? 0)).toBe(true);
    expect(await agent.application("shell")).toMatchObject({ state: "hibernated", life: null });

    await agent.down("SIGTERM");
    await agent.up();
    expect(await agent.application("shell")).toMatchObject({
      state: "hibernated",
      hibernatedImageId: hibernated.result?.imageId,
    });
    await agent.done(agent.client.call("wake.start", { app: "shell" }));
    const woken = await TestTerminal.open(agent.client, "shell");
    await woken.ask(
      "echo still-$word,$$.",
      new RegExp(`still-first,${(pids ?? "none").split(",")[0] ?? ""}\\.`),
    );

    const images = await agent.images("shell");
    expect(images.map(({ trigger, lineageParentId }) => [trigger, lineageParentId])).toEqual([
      ["hibernate", imageId],
      ["before-restore", imageId],
      ["operator", null],
    ]);
    for (const image of images) {
      expect(image.sizes.physicalBytes).toBeGreaterThan(0);
      expect(image.sizes.systemStateBytes).toBeGreaterThan(0);
      expect(image.pauseMs).toBeGreaterThan(0);
      await agent.done(agent.client.call("images.verify", { image: image.id }));
    }
  });

  it("can be put to the same image again and again", async () => {
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const terminal = await TestTerminal.open(agent.client, "shell");
    await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
    const { result } = await agent.done(agent.client.call("capture.start", { app: "shell" }));
    for (let round = 1; round <= 5; round++) {
      await terminal.ask(`word=lost${round}; echo set-$word.`, new RegExp(`set-lost${round}\\.`));
      await agent.done(
        agent.client.call("restore.start", {
          app: "shell",
          image: result?.imageId ?? "",
          captureFirst: false,
        }),
      );
      await terminal.ask(`echo round-${round}-$word.`, new RegExp(`round-${round}-kept\\.`));
    }
    expect(await agent.images("shell")).toHaveLength(1);
  });

  it("stops, also though it ignores SIGTERM, and says how it ended by itself", async () => {
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const terminal = await TestTerminal.open(agent.client, "shell");
    await terminal.shows(/ready>/);
    await agent.done(agent.client.call("applications.stop", { app: "shell" }));
    expect(await agent.application("shell")).toMatchObject({
      state: "stopped",
      life: null,
      lastExit: null,
    });
    for (const [command, state, reason] of [
      ["exit 0", "stopped", "ended by itself with exit status 0"],
      ["exit 7", "failed", "ended with exit status 7"],
      ["kill -SEGV $$", "failed", "was ended by SIGSEGV"],
    ] as const) {
      await agent.done(agent.client.call("applications.start", { app: "shell" }));
      const next = await TestTerminal.open(agent.client, "shell");
      await next.shows(/ready>/);
      await next.type(`${command}\r`);
      await vi.waitFor(async () => {
        expect(await agent.application("shell")).toMatchObject({ state, stateReason: reason });
      }, 10_000);
    }
  });

  it("is measured while somebody looks", async () => {
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const measured = vi.fn();
    agent.client.on("application.measured", measured);
    await agent.client.call("events.subscribe", { events: ["application.measured"] });
    await agent.client.call("applications.watch", { apps: ["shell"] });
    await vi.waitFor(() => {
      expect(measured).toHaveBeenCalled();
    }, 10_000);
    const [event] = measured.mock.lastCall as [
      { measurement: { sizes: Record<string, number>; processes: number } },
    ];
    expect(event.measurement.sizes.physicalBytes).toBeGreaterThan(100_000);
    expect(event.measurement.sizes.systemStateBytes).toBeGreaterThan(0);
    expect(event.measurement.processes).toBe(1);
  });

  it("is inspected: its tree, its sizes, and what can't be captured", async () => {
    await agent.done(agent.client.call("applications.start", { app: "shell" }));
    const terminal = await TestTerminal.open(agent.client, "shell");
    await terminal.ask("exec 5<>/dev/cpu_dma_latency; echo open.", /open\./);
    const { inspection } = await agent.client.call("inspect.run", { app: "shell" });
    expect(inspection.processes.map((each) => each.comm)).toEqual(["bash"]);
    expect(inspection.blockers).toMatchObject([
      { comm: "bash", subject: expect.stringContaining("5") as string },
    ]);
    const refused = await agent.ended(agent.client.call("capture.start", { app: "shell" }));
    expect(refused.error).toMatchObject({
      code: "blocked",
      detail: { blockers: [{ comm: "bash" }] },
    });
    await terminal.ask("exec 5>&-; echo closed.", /closed\./);
    await agent.done(agent.client.call("capture.start", { app: "shell" }));
  });
});
