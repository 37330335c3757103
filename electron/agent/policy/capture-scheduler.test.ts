import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ImageRecord, Trigger } from "../../contract/index.js";
import { AgentEvents } from "../agent-events.js";
import { readApplicationText } from "../applications/application-file.js";
import { ApplicationSignals } from "../control/application-signals.js";
import { createLog } from "../log.js";
import type { Services } from "../operations/services.js";
import { CaptureScheduler } from "./capture-scheduler.js";
import { inventImage } from "./invented-images.js";
import { settle, VirtualClock } from "./virtual-clock.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const start = Date.parse("2026-11-23T12:00:00Z");

let cgroup: string;
let clock: VirtualClock;
let signals: ApplicationSignals;
let scheduler: CaptureScheduler;
let application: {
  id: string;
  life: { capsule: { id: string; file: { cgroup: string } } } | null;
  config: unknown;
  operationId: string | null;
};
let taken: { trigger: Trigger; at: string }[];
let notices: string[];
let image: ImageRecord;
let error: { code: string; message: string } | null;

beforeEach(() => {
  cgroup = mkdtempSync(join(tmpdir(), "torpor-scheduler-"));
  useProcessor(0);
  clock = new VirtualClock(start);
  signals = new ApplicationSignals();
  taken = [];
  notices = [];
  error = null;
  image = inventImage(start, 0);
  application = {
    id: "demo",
    life: { capsule: { id: "demo.1", file: { cgroup } } },
    config: null,
    operationId: null,
  };
  const services = {
    applications: { list: () => [application] },
    catalog: {
      images: {
        get: () => image,
        put: (changed: ImageRecord) => {
          image = changed;
        },
      },
    },
    events: new AgentEvents(),
    log: createLog("silent", false),
    notices: {
      add: (_severity: string, _id: string, message: string) => {
        notices.push(message);
      },
    },
    operations: { wait: () => Promise.resolve({ error, result: { imageId: image.id } }) },
    signals,
    terminals: { lastInputAt: () => 0 },
  };
  scheduler = new CaptureScheduler(
    services as unknown as Services,
    {
      capture: (_application, { trigger }) => {
        taken.push({ trigger, at: new Date(clock.now()).toISOString().slice(11, 19) });
        return { id: "op-1" } as never;
      },
    },
    clock,
  );
});

afterEach(() => {
  scheduler.stop();
  rmSync(cgroup, { recursive: true });
});

/** What the application's processes have used so far. */
function useProcessor(milliseconds: number): void {
  writeFileSync(join(cgroup, "cpu.stat"), `usage_usec ${milliseconds * 1000}\nuser_usec 0\n`);
}

function configure(capture: string): void {
  const read = readApplicationText("demo.toml", `command = ["demo"]\n[capture]\n${capture}\n`);
  if (!read.ok) {
    throw new Error(read.problem.message);
  }
  application.config = read.config;
  scheduler.start();
}

const times = (): string[] => taken.map(({ at }) => at);

it("takes an image so often", async () => {
  configure('every = "5m"');
  await clock.pass(16 * MINUTE);
  expect(taken).toEqual([
    { trigger: "schedule", at: "12:05:00" },
    { trigger: "schedule", at: "12:10:00" },
    { trigger: "schedule", at: "12:15:00" },
  ]);
});

it("takes one by the calendar", async () => {
  configure('calendar = ["*:0/30 UTC", "12:45 UTC"]');
  await clock.pass(HOUR + MINUTE);
  expect(times()).toEqual(["12:30:00", "12:45:00", "13:00:00"]);
});

it("does not make up for what came due while it did not run or was busy", async () => {
  configure('every = "5m"');
  const { life } = application;
  application.life = null;
  await clock.pass(23 * MINUTE);
  application.life = life;
  await clock.pass(4 * MINUTE);
  expect(times()).toEqual([]);
  application.operationId = "op-9";
  await clock.pass(2 * MINUTE);
  application.operationId = null;
  await clock.pass(2 * MINUTE);
  // Five minutes after it was found running at 12:23, it was busy; the next is due at 12:33.
  expect(times()).toEqual([]);
  await clock.pass(3 * MINUTE);
  expect(times()).toEqual(["12:33:01"]);
});

it("does not make up for what was missed while the machine slept", async () => {
  configure('every = "5m"');
  clock.sleep(2 * HOUR + 2 * MINUTE);
  await clock.pass(2 * SECOND);
  expect(times()).toEqual([]);
  await clock.pass(4 * MINUTE);
  expect(times()).toEqual(["14:05:00"]);
});

it("waits while the application says not now, and writes that down", async () => {
  configure('every = "5m"');
  const { token } = signals.inhibit("demo.1", "order is being sent", HOUR);
  await clock.pass(5 * MINUTE + 30 * SECOND);
  expect(times()).toEqual([]);
  signals.allow("demo.1", token);
  await clock.pass(5 * SECOND);
  expect(times()).toEqual(["12:05:31"]);
  expect(image.notes).toEqual([
    "It was due 31 s earlier and waited, as the application had asked not to be captured.",
  ]);
});

it("takes one when the application is ready, once its start is over", async () => {
  configure("after-ready = true");
  application.operationId = "op-9";
  signals.ready("demo.1");
  await clock.pass(3 * SECOND);
  application.operationId = null;
  await clock.pass(10 * SECOND);
  expect(taken).toEqual([{ trigger: "ready", at: "12:00:04" }]);
});

it("takes one when it has been idle, and no second before it has been used again", async () => {
  configure('when-idle = "10m"');
  await clock.pass(5 * MINUTE);
  useProcessor(400);
  await clock.pass(30 * MINUTE);
  expect(taken).toEqual([{ trigger: "idle", at: "12:15:05" }]);
  useProcessor(450);
  await clock.pass(30 * MINUTE);
  // 50 ms in five seconds is next to nothing.
  expect(taken).toHaveLength(1);
  useProcessor(1450);
  await clock.pass(20 * MINUTE);
  expect(times()).toEqual(["12:15:05", "13:15:05"]);
});

it("tells once why images fail, and again after one has succeeded", async () => {
  configure('every = "5m"');
  error = { code: "blocked", message: "It has a window." };
  await clock.pass(21 * MINUTE);
  expect(times()).toHaveLength(4);
  expect(notices).toEqual(["An image that was due (schedule) was not taken. It has a window."]);
  error = null;
  await clock.pass(5 * MINUTE);
  error = { code: "blocked", message: "It has a window." };
  await clock.pass(5 * MINUTE);
  expect(notices).toHaveLength(2);
  await settle();
});
