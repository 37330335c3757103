// The main job, seen in a terminal: the sample application is started, typed into, captured, changed, restored,
// hibernated and woken, and each step is checked on what its terminal shows.
import { createRequire } from "node:module";
import { setTimeout as delay } from "node:timers/promises";

import { Setback } from "../setback.mjs";
import { sampleId } from "./state-home.mjs";

const { Terminal } = createRequire(import.meta.url)("@xterm/headless");

const columns = 100;
const rows = 24;

/** What is typed into the sample's note, before and after the capture. */
const firstText = "slept well, ate half of lunch";
const secondText = "this came after the capture";

/** How long the terminal gets to show something. */
const patienceMs = 15_000;

/** A terminal of the sample's, as a person would see it. */
class SampleScreen {
  /** @param {import("./operator-client.mjs").OperatorClient} client */
  constructor(client) {
    this.client = client;
    this.id = "";
    this.terminal = new Terminal({ cols: columns, rows, allowProposedApi: true });
    client.onEvent((event, payload) => {
      if (event !== "terminal.output" || payload.terminal !== this.id) return;
      if (payload.kind === "snapshot") this.terminal.reset();
      this.terminal.write(Buffer.from(payload.data, "base64"));
    });
  }

  async open() {
    const { terminal } = await this.client.call("terminal.open", {
      app: sampleId,
      cols: columns,
      rows,
    });
    this.id = terminal;
  }

  /** @param {string} text */
  async type(text) {
    const data = Buffer.from(text).toString("base64");
    await this.client.call("terminal.input", { terminal: this.id, data });
  }

  /** @returns {string[]} */
  lines() {
    const buffer = this.terminal.buffer.active;
    return Array.from({ length: rows }, (_, row) =>
      String(buffer.getLine(buffer.baseY + row)?.translateToString(true) ?? ""),
    );
  }

  /**
   * Waits until the screen shows a text.
   * @param {string} text
   * @param {string} what for the message, should it never come
   */
  async shows(text, what) {
    const deadline = Date.now() + patienceMs;
    while (!this.lines().some((line) => line.includes(text))) {
      if (Date.now() > deadline) {
        throw new Setback(
          `${what}: the terminal does not show “${text}”`,
          "What it shows is above.",
          this.lines().join("\n"),
        );
      }
      await delay(50);
    }
  }

  /** The uptime in seconds and the process id that the sample shows. */
  status() {
    const [, hours, minutes, seconds, pid] =
      /Up (\d+):(\d\d):(\d\d) {3}PID (\d+)/.exec(this.lines().join("\n")) ?? [];
    return {
      uptime: Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds),
      pid: Number(pid),
    };
  }

  /** Prints what a person would look at: the first patients and the lines at the bottom. */
  print() {
    const lines = this.lines();
    const shown = [...lines.slice(0, 5), "…", ...lines.slice(-4, -1)];
    for (const line of shown) console.log(`    │ ${line}`);
  }
}

/** @param {import("./operator-client.mjs").OperatorClient} client */
export async function giveTour(client) {
  const app = sampleId;
  const { application } = await client.call("applications.get", { app });
  if (application.life === null) {
    step("Start the sample application, a ward board");
    await client.carryOut("applications.start", { app });
  } else {
    step("The sample application, a ward board, is running");
  }
  const screen = new SampleScreen(client);
  await screen.open();
  await screen.shows("New note:", "starting the sample");

  step(`Type a note and do not save it: “${firstText}”`);
  await screen.type(`\u001b${firstText}`);
  await screen.shows(`New note: ${firstText}`, "typing");
  screen.print();

  step("Capture it, while it runs");
  const before = screen.status();
  const captured = await client.carryOut("capture.start", { app, label: "tour" });
  const { imageId } = captured.result;
  const { image } = await client.call("images.get", { image: imageId });
  console.log(
    `    it stood still for ${milliseconds(image.pauseMs)}; ${bytes(image.fileBytes)} on disk, written in ${milliseconds(image.durationMs)}`,
  );

  step(`Change it: “${secondText}”`);
  await screen.type(`\u001b${secondText}`);
  await screen.shows(`New note: ${secondText}`, "typing");
  screen.print();

  step("Restore the image; what runs now is captured first");
  const restoreStarted = Date.now();
  await client.carryOut("restore.start", { app, image: imageId, captureFirst: true });
  const restoreMs = Date.now() - restoreStarted;
  await screen.shows(`New note: ${firstText}`, "restoring");
  await delay(1000);
  screen.print();
  const after = screen.status();
  same("its process id", before.pid, after.pid);
  const jump = after.uptime - before.uptime;
  if (!(jump >= 0 && jump <= 5 + (Date.now() - restoreStarted) / 1000)) {
    throw new Setback(
      `the sample's clock jumped by ${jump} seconds`,
      "This is a defect: please report it with the agent's log.",
    );
  }
  console.log(
    `    the text is back, the process id is still ${after.pid}, its clock went on from ${before.uptime} s to ${after.uptime} s (${milliseconds(restoreMs)} with the capture before it)`,
  );

  step("Hibernate it: captured, and its memory given back");
  await client.carryOut("capture.start", { app, hibernate: true });
  const asleep = (await client.call("applications.get", { app })).application;
  same("its state", "hibernated", asleep.state);

  step("Wake it");
  await client.carryOut("wake.start", { app });
  await screen.shows(`New note: ${firstText}`, "waking");
  console.log("    it is back, with the same text");

  step("Its timeline, newest first");
  const { images } = await client.call("images.list", { app });
  printTimeline(images);
}

let stepNumber = 0;

/** @param {string} text */
function step(text) {
  stepNumber += 1;
  console.log(`\n${stepNumber}. ${text}`);
}

/**
 * @param {string} what
 * @param {unknown} expected
 * @param {unknown} found
 */
function same(what, expected, found) {
  if (expected !== found) {
    throw new Setback(
      `${what} was expected to be ${String(expected)} and is ${String(found)}`,
      "This is a defect: please report it with the agent's log.",
    );
  }
}

/** @param {import("./operator-client.mjs").Message[]} images */
function printTimeline(images) {
  const head = ["image", "time", "trigger", "state", "physical", "virtual", "file", "pause"];
  const table = images.map((image) => [
    image.id.slice(0, 8),
    new Date(image.createdAt).toLocaleTimeString("en-GB"),
    image.trigger + (image.label === null ? "" : ` “${image.label}”`),
    bytes(image.sizes.systemStateBytes),
    bytes(image.sizes.physicalBytes),
    bytes(image.sizes.virtualBytes),
    bytes(image.fileBytes),
    milliseconds(image.pauseMs),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...table.map((cells) => cells[column]?.length ?? 0)),
  );
  for (const cells of [head, ...table]) {
    console.log(`    ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`);
  }
}

/** @param {number | null} value */
function milliseconds(value) {
  return value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** @param {number} value */
function bytes(value) {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(0)} KiB`;
  return `${(value / 1024 ** 2).toFixed(1)} MiB`;
}
