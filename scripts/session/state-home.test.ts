// What a first start lays out, and that a later one leaves it alone.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { operatorAccount } from "../privileges.mjs";
import { prepareHome, sampleId, stateHome } from "./state-home.mjs";

let folder: string;

beforeEach(() => {
  // A blank and a quote: both are in people's folder names, and must come through TOML.
  folder = mkdtempSync(join(tmpdir(), 'home "of" -'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

test("the sample is there at the first start, and its file names a program that exists", async () => {
  await prepareHome(folder);
  const file = parse(readFileSync(join(folder, `apps.d/${sampleId}.toml`), "utf8"));
  const [program, script] = file.command as string[];
  expect(program).toBe("python3");
  expect(script).toBeDefined();
  expect(existsSync(script ?? "")).toBe(true);
});

test("a sample that was deleted does not come back", async () => {
  await prepareHome(folder);
  const file = join(folder, `apps.d/${sampleId}.toml`);
  rmSync(file);
  await prepareHome(folder);
  expect(existsSync(file)).toBe(false);
});

test("TORPOR_HOME wins, and a capsule's socket fits into what is chosen without it", () => {
  vi.stubEnv("TORPOR_HOME", folder);
  expect(stateHome(operatorAccount())).toBe(folder);
  vi.stubEnv("TORPOR_HOME", "");
  const socket = join(
    stateHome(operatorAccount()),
    "run/capsules/0123456789abcdef0123456789abcdef/control.sock",
  );
  expect(Buffer.byteLength(socket)).toBeLessThan(108);
});
