/** Bad company on the operator socket: it is told so, and nobody else notices. */
import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { AgentClient } from "../../electron/contract/client.js";
import {
  MAX_CLIENTS,
  MAX_MALFORMED_MESSAGES,
  MAX_REQUEST_BYTES,
} from "../../electron/contract/index.js";
import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";

interface Answer {
  readonly id: number | string | null;
  readonly result?: unknown;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data: { readonly code: string };
  };
}

let agent: TestAgent;
let pid: number;

beforeAll(async () => {
  agent = await TestAgent.create({ shell }).up();
  pid = agent.pid;
});
afterAll(async () => {
  await agent.destroy();
});
afterEach(async () => {
  // Whatever a test sent, the agent is the same process and answers others.
  expect((await agent.client.call("system.info", {})).pid).toBe(pid);
});

/** A connection that says what it likes. */
class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #text = "";

  constructor() {
    this.socket = connect(agent.socket);
    this.socket.setEncoding("utf8").on("data", (text: string) => (this.#text += text));
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) =>
      this.socket.once("close", () => {
        resolve();
      }),
    );
  }

  get answers(): Answer[] {
    return this.#text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Answer);
  }

  async answer(count = 1): Promise<Answer> {
    for (let tries = 0; tries < 500; tries++) {
      const found = this.answers[count - 1];
      if (found !== undefined) {
        return found;
      }
      await delay(10);
    }
    throw new Error(`no answer: ${this.#text}`);
  }

  send(message: unknown): this {
    this.socket.write(`${typeof message === "string" ? message : JSON.stringify(message)}\n`);
    return this;
  }
}

describe("a message", () => {
  it.each([
    ["no JSON", "hello", -32700, "invalid-message", null],
    ["JSON, but no object", "42", -32600, "invalid-message", null],
    [
      "a batch",
      '[{"jsonrpc":"2.0","id":1,"method":"system.info"}]',
      -32600,
      "invalid-message",
      null,
    ],
    ["without a version", '{"id":7,"method":"system.info"}', -32600, "invalid-message", 7],
    ["without a method", '{"jsonrpc":"2.0","id":"x"}', -32600, "invalid-message", "x"],
    [
      "with an object as id",
      '{"jsonrpc":"2.0","id":{},"method":"system.info"}',
      -32600,
      "invalid-message",
      null,
    ],
    [
      "of an unknown method",
      '{"jsonrpc":"2.0","id":1,"method":"no.such"}',
      -32601,
      "unknown-method",
      1,
    ],
    [
      "of a method of every object",
      '{"jsonrpc":"2.0","id":1,"method":"constructor"}',
      -32601,
      "unknown-method",
      1,
    ],
    [
      "with missing parameters",
      '{"jsonrpc":"2.0","id":1,"method":"applications.get"}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "with wrong parameters",
      '{"jsonrpc":"2.0","id":1,"method":"applications.get","params":{"app":5}}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "with a path for a name",
      '{"jsonrpc":"2.0","id":1,"method":"applications.get","params":{"app":"../../etc/passwd"}}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "with unknown parameters",
      '{"jsonrpc":"2.0","id":1,"method":"applications.list","params":{"x":1}}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "with parameters in a list",
      '{"jsonrpc":"2.0","id":1,"method":"applications.list","params":[]}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "about an unknown application",
      '{"jsonrpc":"2.0","id":1,"method":"applications.get","params":{"app":"nope"}}',
      -32000,
      "no-such-application",
      1,
    ],
    [
      "about an unknown image",
      '{"jsonrpc":"2.0","id":1,"method":"images.get","params":{"image":"ffffffff"}}',
      -32000,
      "no-such-image",
      1,
    ],
    [
      "with a label that repaints the screen",
      '{"jsonrpc":"2.0","id":1,"method":"capture.start","params":{"app":"shell","label":"\\u001b[2J"}}',
      -32602,
      "invalid-params",
      1,
    ],
    [
      "with a huge number",
      '{"jsonrpc":"2.0","id":1,"method":"inspect.run","params":{"pid":1e300}}',
      -32602,
      "invalid-params",
      1,
    ],
  ])(
    "%s is answered with an error, and the connection goes on",
    async (_what, text, number, code, id) => {
      const raw = new RawClient();
      const { error, id: answeredId } = await raw.send(text).answer();
      expect({ number: error?.code, code: error?.data.code, id: answeredId }).toEqual({
        number,
        code,
        id,
      });
      expect(error?.message).not.toMatch(/ at |\.js:|\n {4}/);
      expect(
        await raw.send({ jsonrpc: "2.0", id: 99, method: "system.info" }).answer(2),
      ).toMatchObject({ id: 99, result: { pid } });
      raw.socket.destroy();
    },
  );
});

describe("a client", () => {
  it("that sends a line without end is disconnected at the limit", async () => {
    const raw = new RawClient();
    const chunk = Buffer.alloc(256 * 1024, 0x61);
    let sent = 0;
    const pump = (): void => {
      while (!raw.socket.destroyed && sent < 100 * 1024 * 1024) {
        sent += chunk.length;
        if (!raw.socket.write(chunk)) {
          raw.socket.once("drain", pump);
          return;
        }
      }
    };
    raw.socket.once("connect", pump);
    await raw.closed;
    expect(sent).toBeLessThan(MAX_REQUEST_BYTES + 64 * 1024 * 1024);
  });

  it("that sends one message too long is told so", async () => {
    const raw = new RawClient();
    raw.send(`{"jsonrpc":"2.0","id":1,"method":"${"x".repeat(MAX_REQUEST_BYTES)}"}`);
    expect((await raw.answer()).error?.data.code).toBe("message-too-large");
    await raw.closed;
  });

  it("that speaks another protocol is disconnected", async () => {
    const http = new RawClient();
    http.socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${"X-Header: y\r\n".repeat(20)}\r\n`);
    await http.closed;
    expect(http.answers).toHaveLength(MAX_MALFORMED_MESSAGES);
    const binary = new RawClient();
    binary.socket.write(Buffer.from([0x16, 0x03, 0x01, 0xff, 0xfe, 0x0a]));
    await binary.closed;
    expect(binary.answers.at(-1)?.error?.data.code).toBe("invalid-message");
  });

  it("that never reads its answers is disconnected, and costs the agent little", async () => {
    const raw = new RawClient();
    raw.socket.pause();
    const request = `${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "no.such" })}\n`.repeat(
      1000,
    );
    for (let i = 0; i < 400 && !raw.socket.destroyed; i++) {
      if (!raw.socket.write(request)) {
        await Promise.race([
          new Promise((resolve) => raw.socket.once("drain", resolve)),
          delay(500),
        ]);
      }
    }
    const status = Number(/VmRSS:\s+(\d+)/.exec(await readStatus())?.[1]) * 1024;
    expect(status).toBeLessThan(300 * 1024 * 1024);
    raw.socket.destroy();
  });

  it("that asks for too much at once is refused what is too much", async () => {
    const raw = new RawClient();
    for (let id = 0; id < 200; id++) {
      raw.send({ jsonrpc: "2.0", id, method: "operations.wait", params: { operation: "op-none" } });
    }
    await raw.answer(200);
    expect(new Set(raw.answers.map((each) => each.error?.data.code))).toContain(
      "no-such-operation",
    );
    raw.socket.destroy();
  });

  it("more than are served is told so, and there is room again when others leave", async () => {
    const clients = Array.from({ length: MAX_CLIENTS + 5 }, () => new RawClient());
    await delay(300);
    const refused = clients.filter((each) => each.answers[0]?.error?.data.code === "too-many");
    expect(refused.length).toBeGreaterThanOrEqual(5);
    for (const each of clients) {
      each.socket.destroy();
    }
    await delay(200);
    const next = await AgentClient.connect(agent.socket);
    await next.call("system.info", {});
    next.close();
  });

  it("that goes in the middle of a message or an operation changes nothing for others", async () => {
    const raw = new RawClient();
    raw.send({ jsonrpc: "2.0", id: 1, method: "applications.start", params: { app: "shell" } });
    raw.socket.write('{"jsonrpc":"2.0","id":2,"meth');
    await raw.answer();
    raw.socket.destroy();
    for (
      let tries = 0;
      tries < 200 && (await agent.application("shell")).state !== "running";
      tries++
    ) {
      await delay(25);
    }
    await agent.done(agent.client.call("applications.stop", { app: "shell" }));
  });
});

async function readStatus(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  return readFile(`/proc/${pid}/status`, "utf8");
}

it("can be opened by its owner and group alone", () => {
  const { mode, uid } = statSync(agent.socket);
  expect((mode & 0o777).toString(8)).toBe("660");
  expect(uid).toBe(0);
  expect((statSync(`${agent.home}/lib`).mode & 0o777).toString(8)).toBe("700");
});
