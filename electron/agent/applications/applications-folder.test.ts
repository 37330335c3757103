import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ApplicationsFolder, type ConfiguredApplication } from "./applications-folder.js";

let base: string;
let folder: string;
let watched: ApplicationsFolder;
const changed = vi.fn<(application: ConfiguredApplication) => void>();
const removed = vi.fn<(id: string) => void>();
const ignored = vi.fn<(file: string, reason: string) => void>();

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "torpor-folder-"));
  folder = join(base, "apps.d");
  for (const mock of [changed, removed, ignored]) {
    mock.mockReset();
  }
  watched = new ApplicationsFolder(folder, { changed, removed, ignored });
});

afterEach(() => {
  watched.stop();
  rmSync(base, { recursive: true, force: true });
});

/** As editors and configuration management do it. */
function put(name: string, text: string): void {
  writeFileSync(join(base, "new"), text);
  renameSync(join(base, "new"), join(folder, name));
}

it("reads what is there and picks up what changes", async () => {
  watched.start();
  expect(changed).not.toHaveBeenCalled();
  put("one.toml", 'command = ["a"]\n');
  await vi.waitFor(() => {
    expect(changed).toHaveBeenCalledTimes(1);
  });
  expect(changed.mock.lastCall?.[0]).toMatchObject({
    id: "one",
    problem: null,
    config: { command: ["a"] },
  });
  put("one.toml", 'command = ["b"]\n');
  await vi.waitFor(() => {
    expect(changed.mock.lastCall?.[0].config?.command).toEqual(["b"]);
  });
  rmSync(join(folder, "one.toml"));
  await vi.waitFor(() => {
    expect(removed).toHaveBeenCalledWith("one");
  });
});

it("lets one bad file be the problem of one application", () => {
  watched.start();
  put("bad.toml", "command = 5\n");
  put("good.toml", 'command = ["a"]\n');
  writeFileSync(join(folder, "binary.toml"), Buffer.of(0xff, 0xfe, 0x00));
  writeFileSync(join(folder, "huge.toml"), "x".repeat(300_000));
  watched.rescan();
  const byId = new Map(changed.mock.calls.map(([application]) => [application.id, application]));
  expect(byId.get("good")).toMatchObject({ problem: null });
  expect(byId.get("bad")).toMatchObject({ config: null, problem: { line: 1, key: "command" } });
  expect(byId.get("binary")?.problem?.message).toBe("is not UTF-8 text");
  expect(byId.get("huge")?.problem?.message).toBe("is larger than 262144 bytes");
});

it("says once that a file can not be an application", () => {
  watched.start();
  put("Not An Id.toml", 'command = ["a"]\n');
  watched.rescan();
  watched.rescan();
  expect(ignored).toHaveBeenCalledTimes(1);
  expect(changed).not.toHaveBeenCalled();
});

it("is quiet about files that did not change", () => {
  watched.start();
  put("one.toml", 'command = ["a"]\n');
  watched.rescan();
  watched.rescan();
  expect(changed).toHaveBeenCalledTimes(1);
});
