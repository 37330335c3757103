/** apps.d with wrong files in it: each is one application's problem, said with line and key. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;

beforeEach(async () => {
  agent = await TestAgent.create({ shell }).up();
});
afterEach(async () => {
  await agent.destroy();
});

it.each([
  ["a wrong type", 'command = "bash"\n', 1, "command"],
  ["an unknown key", 'command = ["bash"]\nterminl = true\n', 2, "terminl"],
  [
    "a wrong value below",
    'command = ["bash"]\n[capture]\ncompress = "rar"\n',
    3,
    "capture.compress",
  ],
  ["no TOML", "command = [\n", null, null],
  ["nothing in it", "", null, "command"],
])("a file with %s fails to load and says where", async (_what, text, line, key) => {
  agent.writeApplication("bad", text);
  await vi.waitFor(async () => {
    const { state, configProblem } = await agent.application("bad");
    expect(state).toBe("failed");
    expect(configProblem?.key).toBe(key);
    if (line !== null) {
      expect(configProblem?.line).toBe(line);
    }
  }, 8000);
  const { status, error } = agent.cli("start", "bad");
  expect(status).toBe(2);
  expect(error).toContain("bad.toml");
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
});

it("a running application runs on when its file gets an error, and keeps what it was started with", async () => {
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  agent.writeApplication("shell", "command = 1\n");
  await vi.waitFor(async () => {
    expect(await agent.application("shell")).toMatchObject({
      state: "running",
      configProblem: { key: "command" },
    });
  }, 8000);
  await agent.done(agent.client.call("capture.start", { app: "shell", hibernate: true }));
  await agent.done(agent.client.call("wake.start", { app: "shell" }));
  agent.writeApplication("shell", shell);
  await vi.waitFor(async () => {
    expect((await agent.application("shell")).configProblem).toBeNull();
  }, 8000);
});

it("an application whose file is taken away stays while it runs or has images", async () => {
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  rmSync(join(agent.home, "apps.d/shell.toml"));
  await vi.waitFor(async () => {
    expect((await agent.application("shell")).configProblem?.message).toBe("is not there any more");
  }, 8000);
  const { result } = await agent.done(agent.client.call("capture.start", { app: "shell" }));
  await agent.done(agent.client.call("applications.stop", { app: "shell" }));
  expect(await agent.application("shell")).toMatchObject({ imageCount: 1 });
  await agent.client.call("images.delete", { image: result?.imageId ?? "" });
  await expect(agent.application("shell")).rejects.toMatchObject({ code: "no-such-application" });
});

it("odd things in the folder are left alone", async () => {
  const folder = join(agent.home, "apps.d");
  mkdirSync(join(folder, "folder.toml"));
  symlinkSync("/nonexistent", join(folder, "dangling.toml"));
  writeFileSync(join(folder, "UPPER CASE.toml"), 'command = ["x"]\n');
  writeFileSync(join(folder, "notes.txt"), "not for us");
  await vi.waitFor(async () => {
    const { applications } = await agent.client.call("applications.list", {});
    expect(applications.map(({ id, state }) => [id, state])).toEqual([
      ["dangling", "failed"],
      ["folder", "failed"],
      ["shell", "stopped"],
    ]);
  }, 8000);
});

it("a program that does not exist is said to, and the application has failed", async () => {
  agent.writeApplication("nothing", 'command = ["/no/such/program"]\n');
  await vi.waitFor(() => agent.application("nothing"), 8000);
  const ended = await agent.ended(agent.client.call("applications.start", { app: "nothing" }));
  expect(ended.state).toBe("failed");
  expect(ended.error?.message).toMatch(/\/no\/such\/program/);
  expect(await agent.application("nothing")).toMatchObject({ state: "failed", life: null });
});
