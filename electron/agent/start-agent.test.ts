/** The agent as a whole over its own socket, with a helper that only pretends. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AgentClient } from "../contract/client.js";
import type { ApplicationRecord, OperationRecord } from "../contract/index.js";
import { createLog } from "./log.js";
import { startAgent, type RunningAgent } from "./start-agent.js";

const fake = fileURLToPath(new URL("../../tests/fixtures/fake-helper/helper.mjs", import.meta.url));

let home: string;
let agent: RunningAgent;
let client: AgentClient;

async function start(): Promise<void> {
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
  client = await AgentClient.connect(agent.paths.agentSocket);
}

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "torpor-agent-"));
  mkdirSync(join(home, "apps.d"));
  writeFileSync(
    join(home, "apps.d/demo.toml"),
    'name = "Demo"\ncommand = ["demo"]\nterminal = true\nstop-grace = "500ms"\n',
  );
  await start();
});

afterEach(async () => {
  client.close();
  await agent.stop();
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

function behave(behaviour: object): void {
  writeFileSync(join(home, "behaviour.json"), JSON.stringify(behaviour));
}

async function done(begun: Promise<{ operation: OperationRecord }>): Promise<OperationRecord> {
  return client.waitFor((await begun).operation.id);
}

async function demo(): Promise<ApplicationRecord> {
  return (await client.call("applications.get", { app: "demo" })).application;
}

/** Types into the application and waits until it has taken it in. */
async function type(text: string): Promise<void> {
  const { terminal } = await client.call("terminal.open", { app: "demo" });
  await client.call("terminal.input", { terminal, data: Buffer.from(text).toString("base64") });
  await vi.waitFor(async () => {
    expect(
      readFileSync(
        join(home, "run/capsules", (await demo()).life?.capsuleId ?? "", "screen"),
        "utf8",
      ),
    ).toContain(text);
  });
  await client.call("terminal.close", { terminal });
}

async function screen(): Promise<string> {
  return readFileSync(
    join(home, "run/capsules", (await demo()).life?.capsuleId ?? "", "screen"),
    "utf8",
  );
}

describe("an application", () => {
  it("goes through its life: start, capture, change, restore, hibernate, wake, stop", async () => {
    expect((await demo()).state).toBe("stopped");
    await done(client.call("applications.start", { app: "demo" }));
    expect(await demo()).toMatchObject({
      state: "running",
      life: { number: 1, currentImageId: null },
    });

    await type("first");
    const captured = await done(client.call("capture.start", { app: "demo", label: "one" }));
    const image = captured.result?.imageId ?? "";
    await type(" second");
    expect(await screen()).toBe("first second");

    const restored = await done(
      client.call("restore.start", { app: "demo", image: image.slice(0, 8), captureFirst: true }),
    );
    expect(restored).toMatchObject({ state: "succeeded", result: { imageId: image } });
    expect(await screen()).toBe("first");
    expect(await demo()).toMatchObject({
      state: "running",
      imageCount: 2,
      life: { number: 2, restoredFromImageId: image, currentImageId: image },
    });
    expect(readdirSync(join(home, "run/capsules"))).toEqual(["demo.2"]);

    const hibernated = await done(client.call("capture.start", { app: "demo", hibernate: true }));
    expect(await demo()).toMatchObject({
      state: "hibernated",
      life: null,
      hibernatedImageId: hibernated.result?.imageId,
    });
    expect(readdirSync(join(home, "run/capsules"))).toEqual([]);

    await done(client.call("wake.start", { app: "demo" }));
    expect(await demo()).toMatchObject({
      state: "running",
      hibernatedImageId: null,
      life: { number: 3 },
    });
    const { images } = await client.call("images.list", { app: "demo" });
    expect(images.map(({ trigger, lineageParentId }) => [trigger, lineageParentId])).toEqual([
      ["hibernate", image],
      ["before-restore", image],
      ["operator", null],
    ]);
    await done(client.call("applications.stop", { app: "demo" }));
    expect(await demo()).toMatchObject({ state: "stopped", life: null, lastExit: null });
  });

  it("runs on as it was when a restore fails", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    await type("text");
    await done(client.call("capture.start", { app: "demo" }));
    behave({
      restore: { error: { code: "resource", message: "no process could be made" }, exit: 6 },
    });
    const before = await demo();
    const failed = await done(client.call("restore.start", { app: "demo", captureFirst: false }));
    expect(failed).toMatchObject({ state: "failed", error: { code: "resource" } });
    expect(failed.error?.message).toMatch(
      /^Restoring "Demo" \(demo\) from image [0-9a-f]{8} failed: no process could be made\. It runs on as it was; all of its images are untouched\./,
    );
    expect(await demo()).toMatchObject({ state: "running", life: before.life });
    expect(await screen()).toBe("text");
  });

  it("runs on when a capture fails, and no image is entered", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    behave({ capture: { error: { code: "no-room", message: "the store is full" }, exit: 6 } });
    for (const hibernate of [false, true]) {
      const failed = await done(client.call("capture.start", { app: "demo", hibernate }));
      expect(failed).toMatchObject({ state: "failed", error: { code: "no-room" } });
      expect(failed.error?.detail?.unchanged).toMatch(
        /^It runs on as before, no image was written/,
      );
    }
    expect(await demo()).toMatchObject({ state: "running", imageCount: 0 });
  });

  it("takes one operation at a time and names the one that runs", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    behave({ capture: { delayMs: 30_000 } });
    const { operation } = await client.call("capture.start", { app: "demo" });
    expect((await demo()).state).toBe("capturing");
    await expect(client.call("applications.stop", { app: "demo" })).rejects.toMatchObject({
      code: "busy",
      failure: { detail: { operationId: operation.id } },
    });
    await client.call("operations.cancel", { operation: operation.id });
    expect(await client.waitFor(operation.id)).toMatchObject({
      state: "cancelled",
      error: { code: "cancelled" },
    });
    expect(await demo()).toMatchObject({ state: "running", operationId: null, imageCount: 0 });
  });

  it("is stopped when it ends by itself and failed when it crashes", async () => {
    for (const [input, state, reason] of [
      ["exit 0\r", "stopped", "ended by itself with exit status 0"],
      ["exit 3\r", "failed", "ended with exit status 3"],
      ["crash\r", "failed", "was ended by SIGSEGV"],
    ] as const) {
      await done(client.call("applications.start", { app: "demo" }));
      const closed = vi.fn();
      client.on("terminal.closed", closed);
      const { terminal } = await client.call("terminal.open", { app: "demo" });
      await client.call("terminal.input", {
        terminal,
        data: Buffer.from(input).toString("base64"),
      });
      await vi.waitFor(async () => {
        expect(await demo()).toMatchObject({ state, stateReason: reason, life: null });
      }, 5000);
      await vi.waitFor(() => {
        expect(closed).toHaveBeenCalledWith(expect.objectContaining({ terminal, reason: "ended" }));
      });
    }
    expect((await client.call("notices.list", {})).notices).toHaveLength(2);
  });

  it("is killed when it ignores SIGTERM for longer than its grace", async () => {
    writeFileSync(
      join(home, "apps.d/stubborn.toml"),
      'command = ["ignore-sigterm"]\nstop-grace = "100ms"\n',
    );
    await vi.waitFor(() => client.call("applications.get", { app: "stubborn" }), 3000);
    await done(client.call("applications.start", { app: "stubborn" }));
    expect(await done(client.call("applications.stop", { app: "stubborn" }))).toMatchObject({
      state: "succeeded",
    });
  });

  it("replaces its previous image where that is wanted, after the new one is there", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const first = await done(client.call("capture.start", { app: "demo" }));
    const second = await done(client.call("capture.start", { app: "demo", keep: false }));
    expect(second.result?.replacedImageId).toBe(first.result?.imageId);
    expect(readdirSync(join(home, "lib/store"))).toHaveLength(1);
  });

  it("keeps as many images as its file says, and says why others would go", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const ids: string[] = [];
    for (let index = 0; index < 4; index++) {
      const { result } = await done(client.call("capture.start", { app: "demo" }));
      ids.push(result?.imageId ?? "");
    }
    await client.call("images.pin", { image: ids[0] ?? "", pinned: true });
    await client.call("images.remark", { image: ids[1] ?? "", remark: "of no use" });
    writeFileSync(
      join(home, "apps.d/demo.toml"),
      'name = "Demo"\ncommand = ["demo"]\nterminal = true\n\n[keep]\ncount = 2\n',
    );
    await vi.waitFor(async () => {
      const plan = await client.call("images.prune", { dryRun: true });
      expect(plan.entries).toMatchObject([
        {
          image: { id: ids[1], remark: "of no use" },
          reason: "is not one of the newest 2",
          deleted: false,
        },
      ]);
    }, 3000);
    expect(readdirSync(join(home, "lib/store"))).toHaveLength(4);
    const pruned = await client.call("images.prune", { app: "demo", dryRun: false });
    expect(pruned.entries).toMatchObject([{ image: { id: ids[1] }, deleted: true, kept: null }]);
    // The next capture carries the rules out by itself, once the new image is there.
    const { result } = await done(client.call("capture.start", { app: "demo" }));
    const { images } = await client.call("images.list", { app: "demo" });
    expect(images.map(({ id }) => id)).toEqual([result?.imageId, ids[3], ids[0]]);
    expect(readdirSync(join(home, "lib/store"))).toHaveLength(3);
  });

  it("is not captured where its images would pass their bound, with a notice", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const first = await done(client.call("capture.start", { app: "demo" }));
    await client.call("images.pin", { image: first.result?.imageId ?? "", pinned: true });
    client.close();
    await agent.stop();
    writeFileSync(join(home, "agent.toml"), '[keep]\nbytes = "1M"\n');
    const catalog = new Database(join(home, "lib/catalog.sqlite"));
    catalog.exec("UPDATE images SET file_bytes = 2000000");
    catalog.close();
    await start();
    const refused = await done(client.call("capture.start", { app: "demo" }));
    expect(refused.error).toMatchObject({ code: "no-room" });
    await done(client.call("capture.start", { app: "demo" }));
    const { notices } = await client.call("notices.list", {});
    expect(notices.map(({ message }) => message)).toEqual([
      expect.stringContaining("is not captured: all images together may take 1.0 MiB") as string,
    ]);
    expect(await demo()).toMatchObject({ state: "running", imageCount: 1 });
  });

  it("has its policy changed in its file, and nothing else", async () => {
    const { file } = await client.call("policy.read", { app: "demo" });
    const text = `start = "manual"\n${file.text}# Ask Alma before changing this.\n[recovery]\npriority = 5\n[restore]\nchanged-files = "refuse"\n`;
    const saved = await client.call("policy.save", { app: "demo", text, revision: file.revision });
    expect(readFileSync(file.file, "utf8")).toBe(text);
    await expect(
      client.call("policy.save", { app: "demo", text: file.text, revision: file.revision }),
    ).rejects.toThrow("was changed by somebody else meanwhile");
    const { revision } = saved.file;
    await expect(
      client.call("policy.save", {
        app: "demo",
        text: text.replace('["demo"]', '["sh"]'),
        revision,
      }),
    ).rejects.toThrow("command in");
    await expect(
      client.call("policy.save", {
        app: "demo",
        text: `${text}[health.probe.mine]\ncommand = ["sh"]\n`,
        revision,
      }),
    ).rejects.toThrow("health.probe.mine.command in");
    await expect(
      client.call("policy.save", { app: "demo", text: `${text}[keep]\ncont = 3\n`, revision }),
    ).rejects.toThrow('did you mean "count"?');
    expect(readFileSync(file.file, "utf8")).toBe(text);
    await vi.waitFor(async () => {
      const { checks } = await client.call("policy.check", { app: "demo" });
      expect(checks).toMatchObject([{ supervised: true, onCrash: { action: "start" } }]);
    }, 3000);
    expect(readdirSync(join(home, "apps.d"))).toEqual(["demo.toml"]);
  });

  it("finishes a deletion that an agent was killed in", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const { result } = await done(client.call("capture.start", { app: "demo" }));
    const { images } = await client.call("images.list", { app: "demo" });
    client.close();
    await agent.stop();
    const catalog = new Database(join(home, "lib/catalog.sqlite"));
    catalog
      .prepare("INSERT INTO removals (image_id, path) VALUES (?, ?)")
      .run(result?.imageId, images[0]?.path);
    catalog.close();
    await start();
    expect((await client.call("images.list", { app: "demo" })).images).toEqual([]);
    expect(readdirSync(join(home, "lib/store"))).toEqual([]);
  });
});

describe("the catalog", () => {
  it("is made anew from the images", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    await done(client.call("capture.start", { app: "demo", label: "kept" }));
    await done(client.call("capture.start", { app: "demo" }));
    const before = (await client.call("images.list", {})).images;
    client.close();
    await agent.stop();
    for (const suffix of ["", "-wal", "-shm"]) {
      rmSync(join(home, `lib/catalog.sqlite${suffix}`), { force: true });
    }
    await start();
    await vi.waitFor(async () => {
      const { images } = await client.call("images.list", {});
      expect(
        images.map(({ id, label, trigger, lineageParentId, life, path }) => ({
          id,
          label,
          trigger,
          lineageParentId,
          life,
          path,
        })),
      ).toEqual(
        before.map(({ id, label, trigger, lineageParentId, life, path }) => ({
          id,
          label,
          trigger,
          lineageParentId,
          life,
          path,
        })),
      );
    }, 5000);
    expect((await demo()).state).toBe("running");
  });

  it("marks images whose file is gone, and takes them back", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const { result } = await done(client.call("capture.start", { app: "demo" }));
    const { image } = await client.call("images.get", { image: result?.imageId ?? "" });
    const bytes = readFileSync(image.path);
    rmSync(image.path);
    await expect(
      client.call("restore.start", { app: "demo", image: image.id, captureFirst: false }),
    ).rejects.toMatchObject({ code: "image-missing" });
    expect((await client.call("images.get", { image: image.id })).image.state).toBe("missing");
    expect((await demo()).state).toBe("running");
    writeFileSync(image.path, bytes);
    expect(await client.call("images.rescan", {})).toMatchObject({ returned: 1 });
  });

  it("moves, verifies, labels and deletes images", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const image = (await done(client.call("capture.start", { app: "demo" }))).result?.imageId ?? "";
    const folder = join(home, "elsewhere");
    await expect(client.call("images.move", { image, folder })).rejects.toMatchObject({
      code: "store-unusable",
    });
    mkdirSync(folder);
    expect(await done(client.call("images.move", { image, folder }))).toMatchObject({
      state: "succeeded",
    });
    expect(await done(client.call("images.verify", { image }))).toMatchObject({
      state: "succeeded",
    });
    const { image: labelled } = await client.call("images.label", { image, label: "x" });
    expect(labelled).toMatchObject({
      label: "x",
      verifiedAt: expect.any(String) as string,
      path: expect.stringContaining("/elsewhere/") as string,
    });
    await client.call("images.delete", { image });
    expect(existsSync(labelled.path)).toBe(false);
    await expect(client.call("images.get", { image })).rejects.toMatchObject({
      code: "no-such-image",
    });
  });

  it("marks an image that verify finds damaged", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const image = (await done(client.call("capture.start", { app: "demo" }))).result?.imageId ?? "";
    writeFileSync((await client.call("images.get", { image })).image.path, "no image");
    expect(await done(client.call("images.verify", { image }))).toMatchObject({
      state: "failed",
      error: { code: "damaged" },
    });
    expect((await client.call("images.get", { image })).image.state).toBe("damaged");
  });
});

describe("an agent that comes back", () => {
  it("finds its applications where they are", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    await type("kept");
    const before = await demo();
    client.close();
    await agent.stop();
    await start();
    expect(await demo()).toMatchObject({ state: "running", life: before.life });
    expect(await screen()).toBe("kept");
  });

  it("says what became of those that ended meanwhile", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const { life } = await demo();
    client.close();
    await agent.stop();
    process.kill(life?.initPid ?? 0, "SIGKILL");
    await start();
    expect(await demo()).toMatchObject({
      state: "failed",
      life: null,
      stateReason: "was killed from outside: its capsule ended without a report",
    });
  });

  it("is alone on its folder", async () => {
    await expect(start()).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining("Another agent (process ") as string,
    });
  });
});

describe("a terminal", () => {
  it("follows its application through a restore", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const output: string[] = [];
    client.on("terminal.output", ({ kind, data }) =>
      output.push(`${kind}:${Buffer.from(data, "base64").toString()}`),
    );
    const { terminal } = await client.call("terminal.open", { app: "demo", cols: 80, rows: 24 });
    await client.call("terminal.input", { terminal, data: Buffer.from("one").toString("base64") });
    await vi.waitFor(() => {
      expect(output).toContain("output:one");
    });
    await done(client.call("capture.start", { app: "demo" }));
    await client.call("terminal.input", { terminal, data: Buffer.from(" two").toString("base64") });
    await done(client.call("restore.start", { app: "demo", captureFirst: false }));
    await client.call("terminal.input", {
      terminal,
      data: Buffer.from(" three").toString("base64"),
    });
    await vi.waitFor(() => {
      expect(output).toEqual([
        "snapshot:",
        "output:one",
        "output: two",
        "snapshot:one",
        "output: three",
      ]);
    });
    const resized = vi.fn();
    client.on("terminal.resized", resized);
    await client.call("terminal.resize", { terminal, cols: 100, rows: 30 });
    await vi.waitFor(() => {
      expect(resized).toHaveBeenCalledWith({ terminal, cols: 100, rows: 30 });
    });
  });

  it("is closed with the reason when its application is hibernated", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const closed = vi.fn();
    client.on("terminal.closed", closed);
    const { terminal } = await client.call("terminal.open", { app: "demo" });
    await done(client.call("capture.start", { app: "demo", hibernate: true }));
    expect(closed).toHaveBeenCalledWith(
      expect.objectContaining({ terminal, reason: "hibernated" }),
    );
    await expect(client.call("terminal.open", { app: "demo" })).rejects.toMatchObject({
      code: "not-running",
    });
    await expect(client.call("terminal.input", { terminal, data: "" })).rejects.toMatchObject({
      code: "no-such-terminal",
    });
  });

  it("belongs to the connection that opened it", async () => {
    await done(client.call("applications.start", { app: "demo" }));
    const { terminal } = await client.call("terminal.open", { app: "demo" });
    const other = await AgentClient.connect(agent.paths.agentSocket);
    await expect(other.call("terminal.input", { terminal, data: "" })).rejects.toMatchObject({
      code: "no-such-terminal",
    });
    other.close();
  });
});

it("starts by itself what is marked so, but not what an operator stopped", async () => {
  writeFileSync(join(home, "apps.d/auto.toml"), 'command = ["auto"]\nstart = "auto"\n');
  client.close();
  await agent.stop();
  await start();
  await vi.waitFor(async () => {
    expect((await client.call("applications.get", { app: "auto" })).application.state).toBe(
      "running",
    );
  }, 5000);
  await done(client.call("applications.stop", { app: "auto" }));
  client.close();
  await agent.stop();
  await start();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect((await client.call("applications.get", { app: "auto" })).application.state).toBe(
    "stopped",
  );
});

it("tells about an application whose file is wrong, and takes the corrected one", async () => {
  writeFileSync(join(home, "apps.d/bad.toml"), 'comand = ["x"]\n');
  await vi.waitFor(async () => {
    const { application } = await client.call("applications.get", { app: "bad" });
    expect(application).toMatchObject({
      state: "failed",
      configProblem: { line: 1, key: "comand" },
    });
  }, 5000);
  await expect(client.call("applications.start", { app: "bad" })).rejects.toMatchObject({
    code: "failed-to-load",
  });
  expect((await demo()).state).toBe("stopped");
  writeFileSync(join(home, "apps.d/bad.toml"), 'command = ["x"]\n');
  await vi.waitFor(async () => {
    expect((await client.call("applications.get", { app: "bad" })).application).toMatchObject({
      state: "stopped",
      configProblem: null,
    });
  }, 5000);
  rmSync(join(home, "apps.d/bad.toml"));
  await vi.waitFor(async () => {
    await expect(client.call("applications.get", { app: "bad" })).rejects.toMatchObject({
      code: "no-such-application",
    });
  }, 5000);
});
