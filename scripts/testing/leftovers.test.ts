// The look at the machine: what a test run forgot has to be found.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { helperPath } from "../paths.mjs";
import { endMarkedProcesses, leftoversSince, lookAround, runMarker } from "./leftovers.mjs";

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "leftovers-"));
});

afterEach(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** Another program may be stopped or mounted meanwhile: only what this test made is looked for. */
async function mentions(run: string, before: ReturnType<typeof lookAround>, text: string) {
  const found = await leftoversSince(before, run, scratch, 0);
  return found.some((each) => each.includes(text));
}

test("a process that still runs is found by its environment, and ended", async () => {
  const run = randomUUID();
  const before = lookAround();
  const child = spawn("sleep", ["30"], { env: { ...process.env, [runMarker]: run } });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  await vi.waitUntil(
    () => readFileSync(`/proc/${child.pid ?? 0}/cmdline`, "utf8").startsWith("sleep"),
    { timeout: 5000 },
  );
  expect(await mentions(run, before, `process ${child.pid ?? 0} (sleep) still runs`)).toBe(true);
  endMarkedProcesses(run);
  await ended;
  expect(await mentions(run, before, `process ${child.pid ?? 0} `)).toBe(false);
});

test("a stopped process is found whatever its environment", async () => {
  const before = lookAround();
  const child = spawn("sleep", ["30"], { env: {} });
  try {
    child.kill("SIGSTOP");
    await vi.waitUntil(() => readFileSync(`/proc/${child.pid ?? 0}/stat`, "utf8").includes(" T "), {
      timeout: 5000,
    });
    expect(await mentions(randomUUID(), before, `process ${child.pid ?? 0} (`)).toBe(true);
  } finally {
    child.kill("SIGKILL");
  }
});

test("a capsule folder in a test's home is found", async () => {
  const before = lookAround();
  mkdirSync(join(scratch, "home/run/capsules/forgotten"), { recursive: true });
  expect(await mentions(randomUUID(), before, "capsules/forgotten is still there")).toBe(true);
});

test("a name in shared memory is found", async () => {
  const before = lookAround();
  const name = `/dev/shm/torpor-leftover-${randomUUID()}`;
  writeFileSync(name, "");
  try {
    expect(await mentions(randomUUID(), before, `${name} is still there`)).toBe(true);
  } finally {
    rmSync(name);
  }
});

const canCapture = process.getuid?.() === 0 && existsSync(helperPath);

test.runIf(canCapture)(
  "a connection that is kept waiting is found, until its program is back",
  async () => {
    const before = lookAround();
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const image = join(scratch, "away.torpor");
    const child = spawn("bash", ["-c", `exec 3<>/dev/tcp/127.0.0.1/${port}; exec sleep 60`], {
      stdio: "ignore",
      detached: true,
    });
    try {
      const [peer] = (await once(server, "connection")) as [Socket];
      peer.on("error", () => undefined);
      const { pid = 0 } = child;
      await vi.waitUntil(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"), {
        timeout: 5000,
      });
      const call = async (...args: string[]) => {
        const [status] = (await once(spawn(helperPath, args, { stdio: "ignore" }), "exit")) as [
          number,
        ];
        expect(status).toBe(0);
      };
      await call("capture", "--pid", String(pid), "--stop", "--image", image);
      expect(await mentions(randomUUID(), before, "the network is locked for 1 more")).toBe(true);
      await call("restore", "--in-place", "--image", image);
      expect(await mentions(randomUUID(), before, "the network is locked")).toBe(false);
      process.kill(pid, "SIGKILL");
      peer.destroy();
    } finally {
      child.kill("SIGKILL");
      server.close();
    }
  },
);
