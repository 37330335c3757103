/** The systemd unit, and what the agent tells systemd; no systemd has to run for it. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { TestAgent } from "./support/test-agent.js";

const unit = fileURLToPath(new URL("../../assets/systemd/torpor-agent.service", import.meta.url));

let folder: string;

beforeEach(() => {
  folder = mkdtempSync("/var/tmp/torpor-unit-");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

it("has a unit that systemd finds nothing wrong with", () => {
  // Programs that are there stand for those that only an installed package has.
  const text = readFileSync(unit, "utf8").replace(
    "ExecStart=/usr/lib/torpor/torpor-agent",
    "ExecStart=/bin/true",
  );
  const file = join(folder, "torpor-agent.service");
  writeFileSync(file, text);
  const verified = spawnSync("systemd-analyze", ["verify", "--man=no", file], {
    encoding: "utf8",
    timeout: 60_000,
  });
  expect(verified.error).toBeUndefined();
  expect(
    `${verified.stdout}${verified.stderr}`.split("\n").filter((line) => line.includes("torpor")),
  ).toEqual([]);
  expect(verified.status).toBe(0);
});

it("tells systemd that it is ready, that it lives, and that it ends", async () => {
  const socket = join(folder, "notify");
  // Node has no datagram sockets of this kind.
  const listener = spawn(
    "python3",
    [
      "-c",
      `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    # systemd-notify waits until its descriptor is closed: it is, as soon as it is received and dropped.
    data, fds, flags, address = socket.recv_fds(s, 4096, 4)
    import os
    for fd in fds: os.close(fd)
    print(repr(data.decode()), flush=True)`,
      socket,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const heard: string[] = [];
  const lines = createInterface(listener.stdout);
  lines.on("line", (line) => heard.push(line));
  await once(lines, "line");
  try {
    vi.stubEnv("NOTIFY_SOCKET", socket);
    vi.stubEnv("WATCHDOG_USEC", "600000");
    const notified = TestAgent.create({});
    await notified.up();
    try {
      await vi.waitFor(() => {
        expect(heard.join("\n")).toContain(`READY=1\\nSTATUS=Serves ${notified.socket}`);
        expect(heard.filter((line) => line.includes("WATCHDOG=1")).length).toBeGreaterThan(1);
      }, 10_000);
      await notified.down("SIGTERM");
      expect(heard.join("\n")).toContain("STOPPING=1");
    } finally {
      await notified.destroy();
    }
  } finally {
    vi.unstubAllEnvs();
    listener.kill("SIGKILL");
  }
});
