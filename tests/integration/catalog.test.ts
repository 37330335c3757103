/** The catalog beside the image files: lost and made anew, files that vanish, appear and are damaged. */
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

let agent: TestAgent;

beforeEach(async () => {
  agent = await TestAgent.create({ shell }).up();
  await agent.done(agent.client.call("applications.start", { app: "shell" }));
  const terminal = await TestTerminal.open(agent.client, "shell");
  await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
});
afterEach(async () => {
  await agent.destroy();
});

function forgetCatalog(): void {
  for (const name of readdirSync(join(agent.home, "lib")).filter((each) =>
    each.startsWith("catalog"),
  )) {
    rmSync(join(agent.home, "lib", name));
  }
}

it("is made anew from the images, and they can be restored", async () => {
  await agent.done(agent.client.call("capture.start", { app: "shell", label: "one" }));
  await agent.done(agent.client.call("capture.start", { app: "shell" }));
  const before = await agent.images("shell");
  await agent.down("SIGKILL");
  forgetCatalog();
  await agent.up();
  await vi.waitFor(async () => {
    const images = await agent.images("shell");
    const known = (each: (typeof images)[number]): unknown => ({
      id: each.id,
      trigger: each.trigger,
      label: each.label,
      lineageParentId: each.lineageParentId,
      life: each.life,
      sizes: each.sizes,
      fileBytes: each.fileBytes,
      path: each.path,
    });
    expect(images.map(known)).toEqual(before.map(known));
  }, 15_000);
  await agent.done(
    agent.client.call("restore.start", {
      app: "shell",
      image: before[1]?.id ?? "",
      captureFirst: true,
    }),
  );
});

it("is set aside when it is damaged", async () => {
  await agent.done(agent.client.call("capture.start", { app: "shell" }));
  await agent.down("SIGKILL");
  forgetCatalog();
  writeFileSync(join(agent.home, "lib/catalog.sqlite"), "no database at all".repeat(1000));
  await agent.up();
  await vi.waitFor(async () => {
    expect(await agent.images("shell")).toHaveLength(1);
  }, 15_000);
  expect(
    (await agent.client.call("notices.list", {})).notices.map(({ message }) => message).join(),
  ).toMatch(/catalog was damaged/);
});

it("lists an image whose file is gone as missing, and takes it back", async () => {
  const { result } = await agent.done(agent.client.call("capture.start", { app: "shell" }));
  const image = result?.imageId ?? "";
  const path = result?.path ?? "";
  renameSync(path, `${path}.away`);
  expect(await agent.client.call("images.rescan", {})).toMatchObject({ missing: 1 });
  expect((await agent.images("shell"))[0]).toMatchObject({ id: image, state: "missing" });
  await expect(
    agent.client.call("restore.start", { app: "shell", image, captureFirst: true }),
  ).rejects.toMatchObject({ code: "image-missing" });
  renameSync(`${path}.away`, path);
  expect(await agent.client.call("images.rescan", {})).toMatchObject({ returned: 1 });
  await agent.done(
    agent.client.call("restore.start", { app: "shell", image, captureFirst: false }),
  );
});

it("finds damage by verifying, says where, and the application stays as it is", async () => {
  const { result } = await agent.done(agent.client.call("capture.start", { app: "shell" }));
  const image = result?.imageId ?? "";
  const path = result?.path ?? "";
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(64, 0xa5), 0, 64, Math.floor(statSync(path).size / 2));
  closeSync(file);
  const verified = await agent.ended(agent.client.call("images.verify", { image }));
  expect(verified).toMatchObject({ state: "failed", error: { code: "damaged" } });
  expect((await agent.images("shell"))[0]).toMatchObject({ state: "damaged" });
  expect(await agent.application("shell")).toMatchObject({ state: "running" });
  expect(agent.cli("image", "verify", image.slice(0, 8)).status).toBe(4);
});

it("leaves files alone that are no images", async () => {
  writeFileSync(join(agent.store, "letter.torpor"), "Dear reader");
  writeFileSync(join(agent.store, "empty.torpor"), "");
  expect(await agent.client.call("images.rescan", {})).toMatchObject({ added: 0, unreadable: 2 });
  expect(readdirSync(agent.store).sort()).toEqual(["empty.torpor", "letter.torpor"]);
});

it("knows a copy of an image for what it is", async () => {
  const { result } = await agent.done(agent.client.call("capture.start", { app: "shell" }));
  copyFileSync(result?.path ?? "", join(agent.store, "copy.torpor"));
  expect(await agent.client.call("images.rescan", {})).toMatchObject({ added: 0 });
  expect(await agent.images("shell")).toHaveLength(1);
});
