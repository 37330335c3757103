/** Supervision on the agent's own parts and a real catalog; only processes are pretended, and time. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  fail,
  type ImageRecord,
  type OccurrenceRecord,
  type OperationRecord,
} from "../../contract/index.js";
import { AgentEvents } from "../agent-events.js";
import type { Application } from "../applications/application.js";
import { readApplicationText } from "../applications/application-file.js";
import { Applications } from "../applications/applications.js";
import { Capsule, capsuleIdOf } from "../capsules/capsule.js";
import { Catalog } from "../catalog/catalog.js";
import { createLog } from "../log.js";
import { Notices } from "../notices.js";
import type { LifeOperations } from "../operations/life-operations.js";
import { Operations } from "../operations/operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";
import { inventImage } from "../policy/invented-images.js";
import { settle, VirtualClock } from "../policy/virtual-clock.js";
import { Recovery } from "./recovery.js";

const MINUTE = 60_000;

let home: string;
let catalog: Catalog;
let clock: VirtualClock;
let applications: Applications;
let operations: Operations;
let recovery: Recovery;
let application: Application;
/** Images whose restore fails. */
let unrestorable: Set<string>;
/** Whether a clean start fails. */
let unstartable: boolean;

beforeEach(() => {
  // In memory where there is such a folder: thousands of transactions wait for the disk otherwise.
  home = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "torpor-recovery-"));
  catalog = Catalog.open(join(home, "catalog.sqlite"));
  clock = new VirtualClock(Date.now());
  unrestorable = new Set();
  unstartable = false;
  const events = new AgentEvents();
  const log = createLog("silent", false);
  applications = new Applications(catalog, events, home);
  operations = new Operations(catalog, applications, events, log);
  const services = {
    applications,
    catalog,
    events,
    log,
    notices: new Notices(catalog.notices, events, log),
    operations,
  } as unknown as Services;
  recovery = new Recovery(
    services,
    { start: () => begin("start", null) } as unknown as LifeOperations,
    {
      restore: (_app: Application, image: ImageRecord) => begin("restore", image),
      wake: (_app: Application, image: ImageRecord) => begin("wake", image),
    } as unknown as RestoreOperations,
    clock,
  );
});

afterEach(() => {
  recovery.stop();
  catalog.close();
  rmSync(home, { recursive: true, force: true });
});

function configure(recoveryTable: string): void {
  const read = readApplicationText("demo.toml", `command = ["demo"]\n${recoveryTable}\n`);
  if (!read.ok) {
    throw new Error(read.problem.message);
  }
  applications.configure({ id: "demo", file: "demo.toml", config: read.config, problem: null });
  application = applications.require("demo");
}

/** A life, as an operation makes one. */
function begin(kind: "start" | "restore" | "wake", image: ImageRecord | null): OperationRecord {
  return operations.start({
    kind,
    application,
    imageId: image?.id ?? null,
    activity: "starting",
    cancellable: false,
    work: () => {
      if (image === null ? unstartable : unrestorable.has(image.id)) {
        fail("resource", { happened: "It can't be built." });
      }
      live(image);
      return Promise.resolve({ notes: [] });
    },
  });
}

function live(image: ImageRecord | null): void {
  const number = applications.allocateLife(application);
  const id = capsuleIdOf("demo", number);
  mkdirSync(join(home, id));
  writeFileSync(
    join(home, id, "capsule.json"),
    JSON.stringify({
      id,
      initPid: 1,
      initStartTicks: 0,
      rootPid: 1,
      bootId: "none",
      startedAt: new Date(clock.now()).toISOString(),
    }),
  );
  const capsule = Capsule.read(home, id);
  if (capsule === null) {
    throw new Error("the pretended capsule can't be read");
  }
  applications.enterLife(
    application,
    number,
    capsule,
    image === null ? null : { imageId: image.id, occurrence: "crash" },
  );
}

async function crash(signalName = "SIGSEGV"): Promise<void> {
  if (application.life === null) {
    throw new Error("nothing runs that could crash");
  }
  rmSync(application.life.capsule.folder, { recursive: true });
  applications.endLife(application, {
    state: "failed",
    reason: `was ended by ${signalName}`,
    exit: {
      endedAt: new Date(clock.now()).toISOString(),
      exitStatus: null,
      signal: 11,
      signalName,
    },
    held: false,
  });
  await settle();
}

function runs(): boolean {
  return application.life !== null;
}

function putImage(ageMs: number, change: Partial<ImageRecord> = {}): ImageRecord {
  const image = inventImage(clock.now(), ageMs, { life: 0, ...change });
  catalog.images.put(image);
  return image;
}

function newest(): OccurrenceRecord {
  const [record] = catalog.occurrences.list("demo", 1);
  if (record === undefined) {
    throw new Error("no occurrence is recorded");
  }
  return record;
}

describe("an application that crashes", () => {
  it("comes back at once from its newest image, and why is written down", async () => {
    configure("[recovery]");
    const older = putImage(10 * MINUTE);
    const image = putImage(MINUTE);
    live(null);
    await clock.pass(5 * MINUTE);
    await crash();
    await clock.pass(0);
    expect(application.life?.restoredFromImageId).toBe(image.id);
    expect(newest()).toMatchObject({
      kind: "crash",
      happened: "was ended by SIGSEGV",
      signalName: "SIGSEGV",
      endedLife: 1,
      failures: 0,
      state: "done",
      life: 2,
      decision: { action: "restore", imageId: image.id, rule: "newest", delayMs: 0 },
      outcome: `it was brought back from image ${image.id.slice(0, 8)}`,
    });
    expect(catalog.notices.list()[0]?.message).toBe(
      `"demo" was ended by SIGSEGV. It comes back from image ${image.id.slice(0, 8)} now.`,
    );
    expect(catalog.images.get(older.id)?.suspectFor).toEqual([]);
  });

  it("is not brought back where its file has no [recovery]", async () => {
    configure("");
    putImage(MINUTE);
    live(null);
    await crash();
    await clock.pass(10 * MINUTE);
    expect(application.life).toBeNull();
    expect(catalog.occurrences.list("demo", 10)).toEqual([]);
  });

  it("does not come back from a suspect image, and trusts it again after a healthy life", async () => {
    configure('[recovery]\nhealthy-after = "1m"');
    const [old, young] = [putImage(10 * MINUTE), putImage(MINUTE)];
    live(null);
    await clock.pass(2 * MINUTE);
    await crash();
    await clock.pass(0);
    expect(application.life?.restoredFromImageId).toBe(young.id);
    await clock.pass(10_000);
    await crash();
    expect(catalog.images.get(young.id)).toMatchObject({ suspectFor: ["crash"], failures: 1 });
    await clock.pass(1000);
    expect(application.life?.restoredFromImageId).toBe(old.id);
    expect(newest().decision.passedOver).toEqual([
      { imageId: young.id, rule: 0, reason: "failed just before" },
    ]);
    await clock.pass(MINUTE);
    expect(catalog.images.get(old.id)?.healthyAt).not.toBeNull();
    // A healthy life: the next crash finds no pause, but the suspect image still is one.
    await crash();
    expect(newest()).toMatchObject({ failures: 0, decision: { imageId: old.id, delayMs: 0 } });
    expect(newest().decision.passedOver[0]?.reason).toBe(
      "is suspect: a life of it failed within 1m",
    );
    await clock.pass(0);
    // An operator restores it, and it lives.
    applications.endLife(application, { state: "stopped", reason: null, exit: null, held: true });
    live(catalog.images.get(young.id));
    await clock.pass(MINUTE);
    expect(catalog.images.get(young.id)).toMatchObject({ suspectFor: [], failures: 0 });
  });

  it("goes on to another image when one can't be restored", async () => {
    configure("[recovery]");
    const [old, young] = [putImage(10 * MINUTE), putImage(MINUTE)];
    unrestorable.add(young.id);
    live(null);
    await clock.pass(2 * MINUTE);
    await crash();
    await clock.pass(1000);
    expect(application.life?.restoredFromImageId).toBe(old.id);
    const [second, first] = catalog.occurrences.list("demo", 2);
    expect(first).toMatchObject({ state: "failed", outcome: "It can't be built." });
    expect(second).toMatchObject({
      kind: "crash",
      happened: "could not be brought back: It can't be built",
      state: "done",
    });
  });

  it("is given up when no rule is left, with a clear state and a notice", async () => {
    configure("[recovery]\nstart-failures = 2");
    unrestorable.add(putImage(MINUTE).id);
    unstartable = true;
    live(null);
    await crash();
    await clock.pass(60 * MINUTE);
    expect(application.remembered.state).toBe("failed");
    expect(application.remembered.stateReason).toBe(
      "given up: could not be brought back: It can't be built, and no rule is left after 3 failed attempts",
    );
    expect(catalog.notices.list()[0]).toMatchObject({
      severity: "error",
      message: expect.stringContaining("It is given up: no rule is left") as string,
    });
    const given = catalog.occurrences.list("demo", 100).length;
    await clock.pass(24 * 60 * MINUTE);
    expect(catalog.occurrences.list("demo", 100)).toHaveLength(given);
    expect(recovery.isGivenUp(application)).toBe(true);
    // An operator starts it: everything begins anew.
    unstartable = false;
    live(null);
    expect(recovery.isGivenUp(application)).toBe(false);
  });

  it("is left to an operator who starts or stops it while it waits", async () => {
    configure("[recovery]\nstart-failures = 100");
    live(null);
    for (let failures = 0; failures < 5; failures++) {
      await crash();
      await clock.pass(newest().decision.delayMs);
    }
    await crash();
    expect(newest()).toMatchObject({
      state: "waiting",
      failures: 5,
      decision: { delayMs: 16_000 },
    });
    live(null);
    expect(newest()).toMatchObject({ state: "superseded", outcome: "an operator took over" });
    await clock.pass(MINUTE);
    expect(application.life?.number).toBe(7);
    applications.endLife(application, { state: "stopped", reason: null, exit: null, held: true });
    await clock.pass(60 * MINUTE);
    expect(application.life).toBeNull();
  });

  it("goes on where it was when the agent is restarted in the middle", async () => {
    configure("[recovery]\nstart-failures = 3");
    live(null);
    await crash();
    await clock.pass(0);
    await crash();
    recovery.stop();
    const again = new Recovery(
      {
        applications: new Applications(catalog, new AgentEvents(), home),
        catalog,
        events: new AgentEvents(),
      } as unknown as Services,
      {} as unknown as LifeOperations,
      {} as unknown as RestoreOperations,
      clock,
    );
    expect(again.explain(application, "crash")).toMatchObject({ action: "start", delayMs: 1000 });
  });
});

describe("an application that ends with exit status 0", () => {
  const end = async (): Promise<void> => {
    const ended = application.life?.capsule.folder;
    rmSync(ended ?? "", { recursive: true });
    applications.endLife(application, {
      state: "stopped",
      reason: "ended by itself with exit status 0",
      exit: { endedAt: new Date().toISOString(), exitStatus: 0, signal: null, signalName: null },
      held: false,
    });
    await clock.pass(0);
  };

  it("wanted to", async () => {
    configure("[recovery]");
    live(null);
    await end();
    expect(application.life).toBeNull();
  });

  it('comes back where its file says on-exit = "recover"', async () => {
    configure('[recovery]\non-exit = "recover"');
    live(null);
    await end();
    expect(application.life?.number).toBe(2);
  });
});

describe("an image", () => {
  it("becomes healthy when the life that it was taken from goes on well", async () => {
    configure('[recovery]\nhealthy-after = "30s"');
    live(null);
    const image = inventImage(clock.now(), 0, { life: 1 });
    catalog.images.put(image);
    recovery.stop();
    // Found again by the next agent, which has not seen it being taken.
    const events = new AgentEvents();
    const next = new Applications(catalog, events, home);
    next.configure({ id: "demo", file: "", config: application.config, problem: null });
    const services = { applications: next, catalog, events } as unknown as Services;
    recovery = new Recovery(
      services,
      {} as unknown as LifeOperations,
      {} as unknown as RestoreOperations,
      clock,
    );
    const { life } = application;
    if (life !== null) {
      next.adoptLife(next.require("demo"), life.number, life.capsule);
    }
    await clock.pass(29_000);
    expect(catalog.images.get(image.id)?.healthyAt).toBeNull();
    await clock.pass(1000);
    expect(catalog.images.get(image.id)?.healthyAt).not.toBeNull();
  });
});

describe("a thousand crashes", () => {
  it("are answered with exact pauses, without a leak and without a loop", async () => {
    configure("[recovery]\nfailures-per-image = 990\nolder-images = 0\nstart-failures = 11");
    const image = putImage(MINUTE);
    live(null);
    await clock.pass(2 * MINUTE);
    let crashes = 0;
    for (; application.life !== null; crashes++) {
      const before = clock.now();
      await crash();
      const { decision, failures } = newest();
      if (decision.action === "give-up") {
        break;
      }
      const expected = crashes === 0 ? 0 : Math.min(300_000, 1000 * 2 ** Math.min(20, crashes - 1));
      expect({ failures, delayMs: decision.delayMs }).toEqual({
        failures: crashes,
        delayMs: expected,
      });
      expect(decision.imageId).toBe(crashes < 990 ? image.id : null);
      // Not a moment earlier.
      await clock.pass(Math.max(0, expected - 1));
      expect(runs() || expected > 0).toBe(true);
      expect(runs() && expected > 0).toBe(false);
      await clock.pass(expected === 0 ? 0 : 1);
      expect(clock.now() - before).toBe(expected);
      expect(application.life).not.toBeNull();
      // One timer for its health, and nothing else.
      expect(clock.waiting).toBe(1);
    }
    expect(crashes).toBe(1001);
    await clock.pass(24 * 60 * MINUTE);
    expect(clock.waiting).toBe(0);
    expect(application.life).toBeNull();
    expect(application.remembered.state).toBe("failed");
    expect(catalog.occurrences.list("demo", 10_000)).toHaveLength(1002);
  }, 120_000);
});
