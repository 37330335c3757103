/** Control sockets of a whole agent, with a helper that only pretends. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ControlClient } from "../../../tests/fixtures/control-client.js";
import { AgentClient } from "../../contract/client.js";
import {
  MAX_CONTROL_CONNECTIONS,
  MAX_CONTROL_MESSAGE_BYTES,
  type ApplicationRecord,
  type OperationRecord,
} from "../../contract/index.js";
import { createLog } from "../log.js";
import { startAgent, type RunningAgent } from "../start-agent.js";

const fake = fileURLToPath(
  new URL("../../../tests/fixtures/fake-helper/helper.mjs", import.meta.url),
);

let home: string;
let agent: RunningAgent;
let operator: AgentClient;
const clients: ControlClient[] = [];

async function up(): Promise<void> {
  agent = await startAgent({
    environment: {
      ...process.env,
      TORPOR_HOME: home,
      TORPOR_HELPER: fake,
      FAKE_HELPER_FILE: join(home, "behaviour.json"),
      TORPOR_OPERATOR_UID: String(process.getuid?.() ?? 0),
      TORPOR_OPERATOR_GROUP: String(process.getgid?.() ?? 0),
    },
    agentFolder: "/nonexistent",
    version: "0.0.0",
    log: createLog("silent", false),
  });
  operator = await AgentClient.connect(agent.paths.agentSocket);
}

async function down(): Promise<void> {
  operator.close();
  await agent.stop();
}

function behave(behaviour: object): void {
  writeFileSync(join(home, "behaviour.json"), JSON.stringify(behaviour));
}

async function done(begun: Promise<{ operation: OperationRecord }>): Promise<OperationRecord> {
  const record = await operator.waitFor((await begun).operation.id);
  expect(record.error).toBeNull();
  return record;
}

async function demo(): Promise<ApplicationRecord> {
  return (await operator.call("applications.get", { app: "demo" })).application;
}

function socketPath(capsuleId: string): string {
  return join(home, "run/capsules", capsuleId, "ctl/control.sock");
}

async function connect(): Promise<ControlClient> {
  const client = await ControlClient.connect(socketPath((await demo()).life?.capsuleId ?? ""));
  clients.push(client);
  return client;
}

async function labels(): Promise<(string | null)[]> {
  return (await operator.call("images.list", { app: "demo" })).images.map(({ label }) => label);
}

async function restore(image: unknown): Promise<void> {
  await done(
    operator.call("restore.start", { app: "demo", image: String(image), captureFirst: false }),
  );
}

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "torpor-control-"));
  mkdirSync(join(home, "apps.d"));
  writeFileSync(
    join(home, "apps.d/demo.toml"),
    'name = "Demo"\ncommand = ["demo"]\nstop-grace = "500ms"\n[capture]\ncompress = "lz4"\n',
  );
  await up();
  await done(operator.call("applications.start", { app: "demo" }));
});

afterEach(async () => {
  for (const client of clients.splice(0)) {
    client.close();
  }
  await down();
  for (const id of readdirSync(join(home, "run/capsules"))) {
    const file = JSON.parse(
      readFileSync(join(home, "run/capsules", id, "capsule.json"), "utf8"),
    ) as { initPid: number };
    try {
      process.kill(file.initPid, "SIGKILL");
    } catch {
      // It has ended already.
    }
  }
  rmSync(home, { recursive: true, force: true });
});

describe("a checkpoint", () => {
  it("is saved, and the same ticket has the same answer", async () => {
    const client = await connect();
    const first = await client.call("checkpoint", { ticket: "ticket-1", label: "after login" });
    expect(first).toMatchObject({ outcome: "saved", pauseMs: 1.5 });
    expect(await client.call("checkpoint", { ticket: "ticket-1", label: "again" })).toEqual(first);
    expect(await client.call("outcome", { ticket: "ticket-1" })).toEqual(first);
    const { images } = await operator.call("images.list", { app: "demo" });
    expect(images).toMatchObject([
      { id: first.imageId, trigger: "application", label: "after login" },
    ]);
    expect(await client.call("outcome", { ticket: "ticket-2" })).toEqual({ outcome: "unknown" });
  });

  it("is restored in the later life, with the occurrence, also for an agent that lost its catalog", async () => {
    const { imageId } = await (await connect()).call("checkpoint", { ticket: "ticket-1" });
    await restore(imageId);
    const again = await connect();
    const restored = { outcome: "restored", imageId, occurrence: "operator" };
    expect(await again.call("outcome", { ticket: "ticket-1" })).toMatchObject(restored);
    expect(await again.call("checkpoint", { ticket: "ticket-1" })).toMatchObject(restored);
    await down();
    await up();
    expect(await (await connect()).call("outcome", { ticket: "ticket-1" })).toMatchObject(restored);
    await down();
    for (const suffix of ["", "-wal", "-shm"]) {
      rmSync(`${agent.paths.catalogFile}${suffix}`, { force: true });
    }
    await up();
    expect(await (await connect()).call("outcome", { ticket: "ticket-1" })).toMatchObject({
      ...restored,
      occurrence: null,
    });
  });

  it("that was saved stays saved for an agent that comes back in the same life", async () => {
    const saved = await (await connect()).call("checkpoint", { ticket: "ticket-1" });
    await down();
    await up();
    expect(await (await connect()).call("outcome", { ticket: "ticket-1" })).toEqual(saved);
  });

  it("is answered by an operator's image that was taken while it waited", async () => {
    behave({ capture: { delayMs: 300 } });
    const client = await connect();
    const first = client.call("checkpoint", { ticket: "ticket-1" });
    const second = client.call("checkpoint", { ticket: "ticket-2" });
    const [one, two] = [await first, await second];
    expect(one.imageId).not.toBe(two.imageId);
    behave({});
    await restore(one.imageId);
    expect(await (await connect()).call("outcome", { ticket: "ticket-2" })).toMatchObject({
      outcome: "restored",
      imageId: one.imageId,
    });
  });

  it("that reached the agent only after the capture had begun is restored as well", async () => {
    behave({ capture: { delayMs: 500 } });
    const client = await connect();
    const first = client.call("checkpoint", { ticket: "ticket-1" });
    await vi.waitFor(async () => {
      expect((await demo()).state).toBe("capturing");
    });
    const second = client.call("checkpoint", { ticket: "ticket-2" });
    const { imageId } = await first;
    expect(await second).toMatchObject({ outcome: "saved" });
    await restore(imageId);
    expect(await (await connect()).call("outcome", { ticket: "ticket-2" })).toMatchObject({
      outcome: "restored",
      imageId,
    });
  });

  it("answers pending at once where nobody waits", async () => {
    behave({ capture: { delayMs: 300 } });
    const client = await connect();
    expect(await client.call("checkpoint", { ticket: "ticket-1", wait: false })).toEqual({
      outcome: "pending",
    });
    expect(await client.call("outcome", { ticket: "ticket-1" })).toEqual({ outcome: "pending" });
    expect(await client.call("checkpoint", { ticket: "ticket-1" })).toMatchObject({
      outcome: "saved",
    });
  });

  it("fails with the reason, and the application runs on", async () => {
    behave({ capture: { error: { code: "no-room", message: "the store is full" } } });
    const client = await connect();
    const failed = await client.call("checkpoint", { ticket: "ticket-1" });
    expect(failed).toMatchObject({
      outcome: "failed",
      code: "no-room",
      message: expect.stringMatching(/the store is full.*It runs on as before/) as string,
    });
    expect(await client.call("outcome", { ticket: "ticket-1" })).toEqual(failed);
    expect((await demo()).state).toBe("running");
    // Operators are told once, however often the application asks.
    await client.call("checkpoint", { ticket: "ticket-2" });
    expect(await operator.call("notices.list", {})).toMatchObject({
      notices: [
        {
          severity: "error",
          applicationId: "demo",
          message: expect.stringMatching(
            /asked for an image and got none\. .*the store is full/,
          ) as string,
        },
      ],
    });
  });

  it("replaces the newest image that the application asked for, and no other", async () => {
    const client = await connect();
    await done(operator.call("capture.start", { app: "demo", label: "operator's" }));
    await client.call("checkpoint", { ticket: "ticket-1", label: "one" });
    await client.call("checkpoint", { ticket: "ticket-2", label: "two", keep: false });
    await done(operator.call("capture.start", { app: "demo", label: "operator's second" }));
    await client.call("checkpoint", { ticket: "ticket-3", label: "three", keep: false });
    expect(await labels()).toEqual(["three", "operator's second", "operator's"]);
  });

  it("is refused when too many wait, and those wait on", async () => {
    const first = await connect();
    const second = await connect();
    await first.call("inhibit", { reason: "nothing gets done", timeoutMs: 60_000 });
    for (let i = 10; i < 42; i++) {
      (i % 2 === 0 ? first : second).send("checkpoint", { ticket: `ticket-${i}`, wait: false });
    }
    await vi.waitFor(() => {
      expect(first.received.length + second.received.length).toBe(32);
    });
    expect((await first.ask("checkpoint", { ticket: "ticket-99" })).error?.data.code).toBe(
      "too-many",
    );
    expect(await first.call("outcome", { ticket: "ticket-41" })).toEqual({ outcome: "pending" });
    expect(await first.call("outcome", { ticket: "ticket-99" })).toEqual({ outcome: "unknown" });
  });
});

describe("an application", () => {
  it("sees its own images and is put back to one by its label", async () => {
    const client = await connect();
    const saved = await client.call("checkpoint", { ticket: "ticket-1", label: "home" });
    await client.call("checkpoint", { ticket: "ticket-2" });
    expect(await client.call("images", { limit: 1 })).toMatchObject({
      images: [{ trigger: "application", label: null, state: "ok" }],
    });
    expect(await client.call("restore", { label: "home" })).toEqual({
      outcome: "restoring",
      imageId: saved.imageId,
    });
    await vi.waitFor(async () => {
      expect(await demo()).toMatchObject({
        state: "running",
        life: { number: 2, restoredFromImageId: saved.imageId },
      });
    }, 5000);
    expect(await client.closed()).toBe(true);
    expect(await (await connect()).call("outcome", { ticket: "ticket-1" })).toMatchObject({
      outcome: "restored",
      occurrence: "application",
    });
    expect((await (await connect()).ask("restore", { label: "nowhere" })).error?.data.code).toBe(
      "no-such-image",
    );
  });

  it("is told that its restore failed", async () => {
    const client = await connect();
    const { imageId } = await client.call("checkpoint", { ticket: "ticket-1" });
    await client.call("subscribe");
    behave({ restore: { error: { code: "resource", message: "no process could be made" } } });
    await client.call("restore", { image: imageId });
    expect(await client.event("restore-failed")).toMatchObject({ imageId, code: "resource" });
    expect(await client.call("status")).toMatchObject({ life: 1 });
  });

  it("never gets at another application's images", async () => {
    writeFileSync(join(home, "apps.d/other.toml"), 'command = ["other"]\n');
    await vi.waitFor(() => operator.call("applications.get", { app: "other" }), 3000);
    await done(operator.call("applications.start", { app: "other" }));
    const other = await done(operator.call("capture.start", { app: "other" }));
    const client = await connect();
    expect(await client.call("images")).toEqual({ images: [] });
    const answer = await client.ask("restore", { image: other.result?.imageId });
    expect(answer.error?.data).toMatchObject({ code: "no-such-image" });
    expect((await demo()).life?.number).toBe(1);
  });

  it("reads its own status", async () => {
    const client = await connect();
    await client.call("inhibit", { reason: "order is being sent", timeoutMs: 5000 });
    expect(await client.call("status")).toMatchObject({
      protocolVersion: 1,
      application: "demo",
      life: 1,
      restored: null,
      policy: { keep: true, compress: "lz4" },
      lastImage: null,
      freeBytes: expect.any(Number) as number,
      inhibitions: [{ reason: "order is being sent" }],
    });
  });

  it("holds captures off while it must not be captured, unless they are forced", async () => {
    const client = await connect();
    const { token } = await client.call("inhibit", { reason: "order", timeoutMs: 60_000 });
    await expect(operator.call("capture.start", { app: "demo" })).rejects.toMatchObject({
      code: "inhibited",
      message: expect.stringContaining("order") as string,
    });
    await done(operator.call("capture.start", { app: "demo", force: true, label: "forced" }));
    const checkpoint = client.call("checkpoint", { ticket: "ticket-1", label: "own" });
    expect(await client.call("outcome", { ticket: "ticket-1" })).toEqual({ outcome: "pending" });
    client.close();
    void checkpoint.catch(() => undefined);
    // The inhibition does not end with its connection.
    expect(await labels()).toEqual(["forced"]);
    expect(await (await connect()).call("allow", { token })).toEqual({ released: true });
    await vi.waitFor(async () => {
      expect(await labels()).toEqual(["own", "forced"]);
    }, 5000);
  });

  it("is told before a capture and after it, and the capture waits for its word", async () => {
    const client = await connect();
    expect(await client.call("subscribe", { events: ["about-to-capture", "captured"] })).toEqual({
      events: ["about-to-capture", "captured"],
      life: 1,
      restored: null,
    });
    const capture = operator.call("capture.start", { app: "demo" });
    const { token } = await client.event("about-to-capture");
    expect((await demo()).state).toBe("capturing");
    expect(await labels()).toEqual([]);
    expect(await client.call("proceed", { token })).toEqual({ accepted: true });
    expect(await client.event("captured")).toMatchObject({ trigger: "operator", pauseMs: 1.5 });
    expect(await client.call("proceed", { token })).toEqual({ accepted: false });
    await done(capture);
  });

  it("is captured all the same when it does not give its word", async () => {
    const silent = await connect();
    const gone = await connect();
    await silent.call("subscribe", { events: ["about-to-capture"] });
    await gone.call("subscribe", { events: ["about-to-capture"] });
    const capture = operator.call("capture.start", { app: "demo" });
    await gone.event("about-to-capture");
    gone.close();
    await done(capture);
  });

  it("hears of its restore when it subscribes in the new life", async () => {
    const { imageId } = await (await connect()).call("checkpoint", { ticket: "ticket-1" });
    await restore(imageId);
    const client = await connect();
    const subscribed = await client.call("subscribe");
    expect(subscribed).toMatchObject({
      life: 2,
      restored: { imageId, occurrence: "operator" },
    });
    expect(await client.event("restored")).toMatchObject({ life: 2, imageId });
  });
});

describe("the socket", () => {
  it("is there before the program, closed with the capsule, and leaves nothing", async () => {
    const path = socketPath("demo.1");
    expect(statSync(path).isSocket()).toBe(true);
    expect(statSync(join(home, "run/capsules")).mode & 0o777).toBe(0o700);
    const client = await connect();
    await done(operator.call("applications.stop", { app: "demo" }));
    expect(await client.closed()).toBe(true);
    expect(readdirSync(join(home, "run/capsules"))).toEqual([]);
    behave({ run: { error: { code: "resource", message: "no" } } });
    await operator.waitFor(
      (await operator.call("applications.start", { app: "demo" })).operation.id,
    );
    expect(readdirSync(join(home, "run/capsules"))).toEqual([]);
  });

  it("answers heartbeats and ready", async () => {
    const client = await connect();
    expect(await client.call("heartbeat")).toEqual({});
    expect(await client.call("ready")).toEqual({});
  });

  it("answers what was asked by one that only listens any more", async () => {
    behave({ capture: { delayMs: 200 } });
    const client = await connect();
    client.socket.end(
      '{"jsonrpc":"2.0","id":1,"method":"checkpoint","params":{"ticket":"ticket-1"}}\n',
    );
    expect(await client.until(() => client.received[0]?.result)).toMatchObject({
      outcome: "saved",
    });
    expect(await client.closed()).toBe(true);
  });

  it("refuses what is not of the protocol, and says why", async () => {
    const client = await connect();
    for (const [method, params, code] of [
      ["shutdown", {}, "unknown-method"],
      ["checkpoint", {}, "invalid-params"],
      ["checkpoint", { ticket: "short" }, "invalid-params"],
      ["checkpoint", { ticket: "ticket-1", force: true }, "invalid-params"],
      ["restore", { image: "abcd", label: "both" }, "invalid-params"],
      ["inhibit", { reason: "x", timeoutMs: 1e9 }, "invalid-params"],
      ["subscribe", { events: ["everything"] }, "invalid-params"],
    ] as const) {
      expect((await client.ask(method, params)).error?.data.code).toBe(code);
    }
    client.socket.write('garbage\n[]\n{"jsonrpc":"2.0","method":"heartbeat"}\n');
    await client.until(() => (client.received.length === 3 ? true : undefined));
    expect(client.received.map(({ error }) => error?.code)).toEqual([-32700, -32600, -32600]);
    client.socket.write("garbage\n".repeat(5));
    expect(await client.closed()).toBe(true);
  });

  it("closes a connection whose message is too long, or no text", async () => {
    for (const [bytes, code] of [
      [Buffer.alloc(MAX_CONTROL_MESSAGE_BYTES + 1, "x"), "message-too-large"],
      [Buffer.from([0xff, 0xfe, 0x0a]), "invalid-message"],
    ] as const) {
      const client = await connect();
      client.socket.write(bytes);
      expect(await client.closed()).toBe(true);
      expect(client.received.at(-1)?.error?.data.code).toBe(code);
    }
  });

  it("closes a connection that asks on and on without waiting", async () => {
    const client = await connect();
    const flood = '{"jsonrpc":"2.0","id":1,"method":"heartbeat"}\n'.repeat(20_000);
    client.socket.write(flood);
    expect(await client.closed()).toBe(true);
    expect(client.received.at(-1)?.error?.data.code).toBe("too-many");
    // Its application may connect again, and is heard.
    expect(await (await connect()).call("status")).toMatchObject({ life: 1 });
  });

  it("takes so many connections and no more", async () => {
    for (let i = 0; i < MAX_CONTROL_CONNECTIONS; i++) {
      await connect();
    }
    const refused = await connect();
    expect(await refused.closed()).toBe(true);
    expect(refused.received[0]?.error?.data.code).toBe("too-many");
    clients[0]?.close();
    await vi.waitFor(async () => {
      expect(await (await connect()).call("heartbeat")).toEqual({});
    }, 5000);
  });

  it("is there again when the agent is, and knows the life", async () => {
    const before = await connect();
    await down();
    expect(await before.closed()).toBe(true);
    await up();
    expect(await (await connect()).call("status")).toMatchObject({ application: "demo", life: 1 });
  });
});
