import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApplicationSignals } from "./application-signals.js";

let signals: ApplicationSignals;

beforeEach(() => {
  vi.useFakeTimers();
  signals = new ApplicationSignals();
});

afterEach(() => {
  vi.useRealTimers();
});

it("counts heartbeats and knows how long ago the last was", () => {
  expect(signals.lastHeartbeat("a.1")).toBeNull();
  signals.heartbeat("a.1");
  vi.advanceTimersByTime(500);
  signals.heartbeat("a.1");
  vi.advanceTimersByTime(250);
  expect(signals.lastHeartbeat("a.1")).toEqual({ agoMs: 250, count: 2 });
  expect(signals.lastHeartbeat("a.2")).toBeNull();
});

it("tells of the first ready of each life only", () => {
  const heard = vi.fn();
  const stop = signals.onReady(heard);
  signals.ready("a.1");
  signals.ready("a.1");
  signals.ready("a.2");
  stop();
  signals.ready("a.3");
  expect(heard.mock.calls).toEqual([["a.1"], ["a.2"]]);
  expect([signals.isReady("a.1"), signals.isReady("a.4")]).toEqual([true, false]);
});

describe("an inhibition", () => {
  it("ends by its token, and only then are captures allowed", async () => {
    const first = signals.inhibit("a.1", "order is being sent", 10_000);
    const second = signals.inhibit("a.1", "printing", 10_000);
    const allowed = signals.whenAllowed("a.1", 60_000);
    expect(signals.inhibitions("a.1").map(({ reason }) => reason)).toEqual([
      "order is being sent",
      "printing",
    ]);
    expect(signals.allow("a.1", first.token)).toBe(true);
    expect(signals.allow("a.1", first.token)).toBe(false);
    expect(signals.allow("a.2", second.token)).toBe(false);
    expect(signals.inhibitions("a.1")).toHaveLength(1);
    signals.allow("a.1", second.token);
    expect(await allowed).toBe(true);
  });

  it("ends when its time is up", async () => {
    signals.inhibit("a.1", "forgotten", 1000);
    const allowed = signals.whenAllowed("a.1", 60_000);
    vi.advanceTimersByTime(1000);
    expect(await allowed).toBe(true);
    expect(signals.inhibitions("a.1")).toEqual([]);
  });

  it("ends with its life", async () => {
    signals.inhibit("a.1", "crashed in the middle", 60_000);
    const allowed = signals.whenAllowed("a.1", 60_000);
    signals.forget("a.1");
    expect(await allowed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("outlasts one who can't wait", async () => {
    signals.inhibit("a.1", "long", 60_000);
    const allowed = signals.whenAllowed("a.1", 500);
    const controller = new AbortController();
    const aborted = signals.whenAllowed("a.1", 5000, controller.signal);
    controller.abort();
    vi.advanceTimersByTime(500);
    expect([await allowed, await aborted]).toEqual([false, false]);
  });
});
