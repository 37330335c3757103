// How long does an application with windows stand still, X server and all, and how soon is it back?
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { hasProgram } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";
import { endCapsule, gapWatch, gapsIn, reportedBy } from "./gap-watch.mjs";
import { callHelper } from "./helper-calls.mjs";
import { compileTarget } from "./targets.mjs";

const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);
/** How long it draws its window and settles, which nothing outside of the capsule can see the end of. */
const settleMs = 5000;
/** Memory of a process of its own beside the editor's and the X server's, so that all of it is what a larger one has. */
const ballastMegabytes = 64;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "a GTK editor on a private display of 1280 × 800: pause, and time to the first instruction",
  async measure({ scratch, say }) {
    if (!hasProgram("mousepad") || !hasProgram("Xvnc")) {
      throw new Setback(
        "mousepad or Xvnc is not installed",
        "apt-get install mousepad tigervnc-standalone-server",
      );
    }
    await compileTarget("gap_watch");
    const home = join(scratch, "home");
    const reportFile = join(scratch, "report");
    const image = join(scratch, "image.torpor");
    /** @type {Record<"seen" | "said" | "durable" | "size" | "resumed", number[]>} */
    const values = { seen: [], said: [], durable: [], size: [], resumed: [] };
    const started = await callHelper(
      [
        ..."run --capsule bench-display --display 1280x800 -- sh -c".split(" "),
        `${gapWatch} ${ballastMegabytes} ${reportFile} & exec mousepad --disable-server`,
      ],
      home,
    );
    try {
      await reportedBy(reportFile, (lines) => lines.some((line) => line.startsWith("ready")));
      await delay(settleMs);
      for (let round = 0; round < rounds; round++) {
        const before = gapsIn(reportFile).length;
        const captured = await callHelper(
          ["capture", "--capsule", "bench-display", "--image", image],
          home,
        );
        await delay(50);
        const gaps = gapsIn(reportFile).slice(before);
        values.seen.push(Math.max(captured.pauseMs, ...gaps.map((each) => each.gapMs)));
        values.said.push(captured.pauseMs);
        values.durable.push(captured.durationMs);
        values.size.push(captured.fileBytes / 1e6);
        if (round + 1 < rounds) await rm(image);
      }
    } finally {
      await endCapsule(started.initPid);
    }
    for (let round = 0; round < rounds; round++) {
      const restored = await callHelper(
        ["restore", "--image", image, "--capsule", `bench-woken-${round}`],
        home,
      );
      values.resumed.push(restored.firstInstructionMs);
      await endCapsule(restored.initPid);
    }
    say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return [
      { name: "pause, as a process of the tree saw it", unit: "ms", values: values.seen, goal: 12 },
      { name: "pause, as the helper says", unit: "ms", values: values.said, goal: 12 },
      { name: "durable", unit: "ms", values: values.durable },
      { name: "image", unit: "MB", values: values.size },
      { name: "first instruction", unit: "ms", values: values.resumed },
    ];
  },
};
