import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLog } from "../log.js";
import { Helper } from "./helper.js";
import { HelperRegister } from "./helper-register.js";
import { captureArguments, restoreArguments, runArguments } from "./helper-arguments.js";

const fake = fileURLToPath(
  new URL("../../../tests/fixtures/fake-helper/helper.mjs", import.meta.url),
);
const log = createLog("silent", false);
let home: string;
let register: HelperRegister;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "torpor-helper-"));
  register = new HelperRegister(join(home, "run"));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function helper(behaviour: object = {}, path = fake): Helper {
  const environment = { ...process.env, TORPOR_HOME: home, FAKE_HELPER: JSON.stringify(behaviour) };
  return new Helper(path, environment, register, log);
}

describe("Helper", () => {
  it("returns the checked result and passes on progress", async () => {
    const onProgress = vi.fn();
    const progress = [
      { phase: "freeze" },
      { phase: "memory", doneBytes: 1, totalBytes: 2 },
      { phase: "of a newer helper" },
    ];
    const result = await helper({ check: { progress } }).call({
      command: "check",
      args: ["check"],
      onProgress,
    });
    expect(result).toMatchObject({ ok: true, arch: "x86_64" });
    expect(onProgress.mock.calls.map(([each]) => (each as { phase: string }).phase)).toEqual([
      "freeze",
      "memory",
    ]);
    expect(readdirSync(join(home, "run/helpers"))).toEqual([]);
  });

  it("throws the error that the helper reports", async () => {
    const call = helper({
      check: { error: { code: "no-room", message: "the store is full" } },
    }).call({ command: "check", args: ["check"] });
    await expect(call).rejects.toMatchObject({ code: "no-room", message: "the store is full" });
  });

  it.each([
    ["no result", { exit: 0 }, "internal", "ended with exit status 0 without a result"],
    ["an exit status alone", { exit: 4 }, "damaged", "ended with exit status 4 without a result"],
    [
      "something that is not JSON",
      { raw: "Segmentation fault\n", exit: 0 },
      "internal",
      "is not valid JSON",
    ],
    [
      "a result of another shape",
      { raw: '{"type":"result","command":"check","ok":"yes"}\n', exit: 0 },
      "internal",
      "its last line is not what was agreed",
    ],
    [
      "an unknown error code",
      { raw: '{"type":"error","code":"new","message":"m"}\n', exit: 1 },
      "internal",
      "m",
    ],
  ])("makes a failure of %s", async (_what, behaviour, code, message) => {
    const call = helper({ check: behaviour }).call({ command: "check", args: ["check"] });
    await expect(call).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });

  it("cancels with SIGTERM", async () => {
    const controller = new AbortController();
    const call = helper({ check: { delayMs: 60_000, progress: [{ phase: "freeze" }] } }).call({
      command: "check",
      args: ["check"],
      signal: controller.signal,
      onProgress: () => {
        controller.abort();
      },
    });
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
  });

  it("ends a helper that takes too long", async () => {
    const call = helper({ check: { delayMs: 60_000 } }).call({
      command: "check",
      args: ["check"],
      timeoutMs: 1500,
    });
    await expect(call).rejects.toMatchObject({
      code: expect.stringMatching(/resource|cancelled/) as string,
    });
  });

  it("says so when there is no helper to start", async () => {
    const call = helper({}, join(home, "nothing")).call({ command: "check", args: ["check"] });
    await expect(call).rejects.toMatchObject({
      code: "resource",
      message: expect.stringContaining("can't be started") as string,
    });
  });
});

it("forgets helpers of another boot and of other programs", async () => {
  writeFileSync(
    join(home, "run/helpers/1.json"),
    JSON.stringify({ pid: 1, startTicks: 999_999, bootId: "x" }),
  );
  writeFileSync(join(home, "run/helpers/bad.json"), "garbage");
  await register.endLeftovers(log);
  expect(readdirSync(join(home, "run/helpers"))).toEqual([]);
});

it("builds command lines", () => {
  expect(
    runArguments({
      capsuleId: "demo.1",
      surface: { kind: "display", width: 800, height: 600 },
      user: "anna",
      cwd: "/tmp",
      command: ["top", "-d", "5"],
    }),
  ).toEqual([
    "run",
    "--capsule",
    "demo.1",
    "--display",
    "800x600",
    "--user",
    "anna",
    "--cwd",
    "/tmp",
    "--env-from",
    "-",
    "--",
    "top",
    "-d",
    "5",
  ]);
  expect(
    captureArguments({
      capsuleId: "demo.1",
      image: "/s/x",
      stop: true,
      compress: "lz4",
      rate: 50e6,
      parent: null,
      track: false,
      meta: { label: "a=b" },
    }),
  ).toEqual([
    "capture",
    "--capsule",
    "demo.1",
    "--image",
    "/s/x",
    "--stop",
    "--compress",
    "lz4",
    "--meta",
    "label=a=b",
  ]);
  const unhurried = captureArguments({
    capsuleId: "demo.1",
    image: "/s/x",
    stop: false,
    compress: "none",
    rate: 1024 ** 2,
    parent: null,
    track: false,
    meta: {},
  });
  expect(unhurried.slice(-2)).toEqual(["--rate", "2"]);
  expect(restoreArguments("/s/x", "demo.2", "refuse").slice(-2)).toEqual([
    "--changed-files",
    "refuse",
  ]);
});
