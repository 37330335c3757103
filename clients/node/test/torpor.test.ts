/** The client against an agent that only pretends: what it does when the connection ends. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isAvailable, RequestRefusedError, Torpor } from "../src/index.js";

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: Record<string, unknown>;
}

type Answer = object | "hang up" | "silence";

let folder: string;
let server: Server;
let answer: (request: Request) => Answer;
const seen: Request[] = [];
const sockets = new Set<Socket>();
let torpor: Torpor;

function send(message: object): void {
  for (const socket of sockets) {
    socket.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "torpor-client-"));
  const path = join(folder, "control.sock");
  server = createServer((socket) => {
    let text = "";
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const request = JSON.parse(line) as Request;
        seen.push(request);
        const given = answer(request);
        if (given === "hang up") {
          socket.destroy();
        } else if (given !== "silence") {
          socket.write(`${JSON.stringify({ jsonrpc: "2.0", id: request.id, ...given })}\n`);
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  vi.stubEnv("TORPOR_SOCKET", path);
  torpor = new Torpor();
  seen.length = 0;
});

afterEach(async () => {
  await torpor.close();
  for (const socket of sockets) {
    socket.destroy();
  }
  server.close();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const life = (number: number) => ({
  result: {
    events: [],
    life: number,
    restored: number === 1 ? null : { imageId: "i", occurrence: "crash", elapsedMs: 5 },
  },
});

function methods(): string[] {
  return seen.map(({ method }) => method).filter((method) => method !== "subscribe");
}

it("is a quick no-op outside of a capsule", async () => {
  vi.stubEnv("TORPOR_SOCKET", join(folder, "nobody.sock"));
  expect(isAvailable()).toBe(false);
  expect(await torpor.checkpoint({ label: "x" })).toEqual({ outcome: "unavailable" });
  expect(await torpor.status()).toBeNull();
  expect(await torpor.images()).toEqual([]);
  expect(await torpor.inhibited("x", () => 7)).toBe(7);
  await torpor.ready();
  expect(seen).toEqual([]);
});

describe("when the connection ends in the middle of a checkpoint", () => {
  it("asks for the outcome of its ticket, and tells the hooks of a later life", async () => {
    const restored = vi.fn();
    let connections = 0;
    answer = ({ method }) => {
      switch (method) {
        case "subscribe":
          return life(++connections);
        case "checkpoint":
          return "hang up";
        default:
          return {
            result: { outcome: "restored", imageId: "i", occurrence: "crash", elapsedMs: 5 },
          };
      }
    };
    torpor.onRestored(restored);
    expect(await torpor.checkpoint()).toMatchObject({ outcome: "restored", occurrence: "crash" });
    expect(methods()).toEqual(["checkpoint", "outcome"]);
    expect(new Set(seen.flatMap(({ params }) => params.ticket ?? [])).size).toBe(1);
    expect(restored).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ imageId: "i" }));
  });

  it("asks again with the same ticket when the agent has never heard of it", async () => {
    let asked = 0;
    answer = ({ method }) => {
      switch (method) {
        case "subscribe":
          return life(1);
        case "checkpoint":
          return ++asked === 1
            ? "hang up"
            : { result: { outcome: "saved", imageId: "j", pauseMs: 2 } };
        default:
          return { result: { outcome: "unknown" } };
      }
    };
    expect(await torpor.checkpoint()).toEqual({ outcome: "saved", imageId: "j", pauseMs: 2 });
    expect(methods()).toEqual(["checkpoint", "outcome", "checkpoint"]);
    expect(new Set(seen.flatMap(({ params }) => params.ticket ?? [])).size).toBe(1);
  });
});

it("gives its word after its hooks, even when one of them fails", async () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const order: string[] = [];
  answer = ({ method }) => {
    order.push(method);
    return method === "subscribe" ? life(1) : { result: {} };
  };
  torpor.onBeforeCapture(() => {
    throw new Error("broken");
  });
  torpor.onBeforeCapture(() => order.push("hook"));
  await torpor.heartbeat();
  send({
    method: "event",
    params: { kind: "about-to-capture", token: "t", trigger: "operator", stop: false },
  });
  await vi.waitFor(() => {
    expect(order).toEqual(["subscribe", "heartbeat", "hook", "proceed"]);
  });
  expect(warned).toHaveBeenCalledOnce();
});

it("stops waiting when its signal says so, and hands refusals on", async () => {
  answer = ({ method }) => {
    if (method === "subscribe") {
      return life(1);
    }
    return method === "checkpoint"
      ? "silence"
      : { error: { message: "no such image", data: { code: "no-such-image" } } };
  };
  const controller = new AbortController();
  const waiting = torpor.checkpoint({ signal: controller.signal });
  await vi.waitFor(() => {
    expect(methods()).toEqual(["checkpoint"]);
  });
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(torpor.restore({ label: "x" })).rejects.toMatchObject({ code: "no-such-image" });
  await expect(torpor.restore({ label: "x" })).rejects.toBeInstanceOf(RequestRefusedError);
});
