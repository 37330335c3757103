/**
 * The control socket under load and under fire: many applications at once, many requests from one, and
 * applications that keep to no rule while others go on.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ControlClient } from "../fixtures/control-client.js";
import { compile } from "./support/example-server.js";
import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;
const clients: ControlClient[] = [];

const idle = 'command = ["sleep", "100000"]\nstop-grace = "1s"\n';

beforeEach(() => {
  agent = TestAgent.create({});
});

afterEach(async () => {
  for (const client of clients.splice(0)) {
    client.close();
  }
  await agent.destroy();
});

/** Connects from outside of the capsule, as only root can: the agent can't tell the difference. */
async function connect(app: string): Promise<ControlClient> {
  const { life } = await agent.application(app);
  const client = await ControlClient.connect(
    join(agent.home, "run/capsules", life?.capsuleId ?? "", "ctl/control.sock"),
  );
  clients.push(client);
  return client;
}

async function started(...apps: string[]): Promise<void> {
  for (const app of apps) {
    agent.writeApplication(app, idle);
  }
  await agent.up();
  for (const app of apps) {
    await agent.done(agent.client.call("applications.start", { app }));
  }
}

it("twenty applications that ask at the same moment all get their image", async () => {
  const ids = Array.from({ length: 20 }, (_, i) => `app-${i}`);
  const program = compile(agent, "torpor-request.c");
  for (const id of ids) {
    const folder = join(agent.home, "work", id);
    mkdirSync(folder, { recursive: true });
    // Each waits for the starting shot, which is one file for all of them.
    agent.writeApplication(
      id,
      `command = ["sh", "-c", "while ! test -e ../shot; do sleep 0.01; done; ${program} checkpoint --label own > outcome; exec sleep 100000"]\ncwd = "${folder}"\nstop-grace = "1s"\n`,
    );
  }
  await agent.up();
  for (const id of ids) {
    await agent.done(agent.client.call("applications.start", { app: id }));
  }
  mkdirSync(join(agent.home, "work/shot"));
  for (const id of ids) {
    const outcome = await until(() => {
      const text = readFileSync(join(agent.home, "work", id, "outcome"), "utf8");
      return text === "" ? undefined : text;
    });
    const [image, ...others] = await agent.images(id);
    expect(outcome).toBe(`saved ${image?.id ?? ""}\n`);
    expect(image).toMatchObject({ trigger: "application", label: "own", state: "ok" });
    expect(others).toEqual([]);
  }
});

async function until<T>(look: () => T | undefined): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      const found = look();
      if (found !== undefined) {
        return found;
      }
    } catch (error) {
      if (Date.now() > deadline) {
        throw error;
      }
    }
    if (Date.now() > deadline) {
      throw new Error("did not happen in time");
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

it("ten thousand requests in a row from one application are answered, each once", async () => {
  await started("one");
  const client = await connect("one");
  const methods = ["heartbeat", "status", "outcome", "images"] as const;
  for (let i = 0; i < 10_000; i++) {
    const method = methods[i % methods.length] ?? "heartbeat";
    const answer = await client.ask(method, method === "outcome" ? { ticket: `ticket-${i}` } : {});
    expect(answer.error).toBeUndefined();
  }
  expect(client.received).toEqual([]);
});

it("a hundred checkpoints in a row leave one image, and nothing else behind", async () => {
  await started("one");
  const client = await connect("one");
  const descriptors = (): number => readdirSync(`/proc/${agent.pid}/fd`).length;
  await client.call("checkpoint", { ticket: "ticket-first", keep: false });
  const before = descriptors();
  for (let i = 0; i < 100; i++) {
    expect(await client.call("checkpoint", { ticket: `ticket-${i}`, keep: false })).toMatchObject({
      outcome: "saved",
    });
  }
  expect(readdirSync(agent.store)).toHaveLength(1);
  expect(descriptors()).toBe(before);
});

describe("an application that keeps to no rule is refused, and another one goes on", () => {
  /** Its heartbeats are answered all the while, and then it gets its image. */
  async function whileNeighbourGoesOn(work: () => Promise<unknown>): Promise<void> {
    const neighbour = await connect("good");
    const pace = { going: true };
    const beats = (async () => {
      while (pace.going) {
        await neighbour.call("heartbeat");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    await work();
    const saved = await neighbour.call("checkpoint", { ticket: "neighbour-1" });
    pace.going = false;
    await beats;
    expect(saved).toMatchObject({ outcome: "saved" });
  }

  beforeEach(async () => {
    await started("bad", "good");
  });

  const writeUntilClosed = async (client: ControlClient, bytes: Buffer, totalBytes: number) => {
    for (let sent = 0; sent < totalBytes && !client.ended; sent += bytes.length) {
      if (!client.socket.write(bytes)) {
        await Promise.race([
          client.closed(),
          new Promise((resolve) => client.socket.once("drain", resolve)),
        ]);
      }
    }
    await client.closed();
  };

  it("that floods the socket", async () => {
    const line = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"heartbeat"}\n'.repeat(1000));
    await whileNeighbourGoesOn(async () => {
      for (let i = 0; i < 20; i++) {
        const client = await connect("bad");
        await writeUntilClosed(client, line, 100e6);
        expect(client.received.at(-1)?.error?.data.code).toBe("too-many");
      }
    });
  });

  it("that sends garbage", async () => {
    const garbage = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256));
    await whileNeighbourGoesOn(async () => {
      for (let i = 0; i < 20; i++) {
        const client = await connect("bad");
        await writeUntilClosed(client, garbage, 10e6);
        expect(client.received.at(-1)?.error?.data.code).toBe("invalid-message");
      }
    });
  });

  it("that sends one line of 100 MB", async () => {
    const memory = (): number =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${agent.pid}/status`, "utf8"))?.[1]);
    const before = memory();
    await whileNeighbourGoesOn(async () => {
      const client = await connect("bad");
      await writeUntilClosed(client, Buffer.alloc(1 << 20, "x"), 100e6);
      expect(client.received.at(-1)?.error?.data.code).toBe("message-too-large");
    });
    expect(memory() - before).toBeLessThan(100_000);
  });

  it("that never reads its answers", async () => {
    await whileNeighbourGoesOn(async () => {
      const client = await connect("bad");
      client.socket.pause();
      const line = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"status"}\n');
      let closed = false;
      client.socket.on("error", () => (closed = true));
      client.socket.on("close", () => (closed = true));
      // Slower than what counts as a flood: it is the unread answers that it is closed for.
      await until(() => {
        for (let i = 0; i < 20; i++) {
          client.socket.write(line);
        }
        return closed ? true : undefined;
      });
    });
  });
});
