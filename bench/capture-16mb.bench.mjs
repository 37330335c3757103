// How long does a process of 16 MB stand still while it is captured, and how soon does a wake run its first instruction?
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { endCapsule, gapsIn, reportedBy, startGapWatch } from "./gap-watch.mjs";
import { callHelper } from "./helper-calls.mjs";
import { compileTarget } from "./targets.mjs";

const megabytes = 16;
const rounds = 15;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question: `a process of ${megabytes} MB: pause of a capture, and time to the first instruction of a restore`,
  async measure({ scratch, say }) {
    await compileTarget("gap_watch");
    const home = join(scratch, "home");
    /** @type {Record<"pauseSeen" | "pauseSaid" | "captureMs" | "resumeSeen" | "resumeSaid" | "restoreMs", number[]>} */
    const values = {
      pauseSeen: [],
      pauseSaid: [],
      captureMs: [],
      resumeSeen: [],
      resumeSaid: [],
      restoreMs: [],
    };
    for (let round = 0; round < rounds; round++) {
      const reportFile = join(scratch, `report-${round}`);
      const image = join(scratch, `image-${round}.torpor`);
      const watched = await startGapWatch({
        home,
        capsule: `bench-${round}`,
        megabytes,
        reportFile,
      });
      try {
        const before = gapsIn(reportFile).length;
        const captured = await callHelper(
          ["capture", "--capsule", watched.capsule, "--image", image],
          home,
        );
        await delay(20);
        const gaps = gapsIn(reportFile).slice(before);
        // A pause below the reporting threshold is no gap: then the helper's own number is the better one.
        values.pauseSeen.push(Math.max(captured.pauseMs, ...gaps.map((each) => each.gapMs)));
        values.pauseSaid.push(captured.pauseMs);
        values.captureMs.push(captured.durationMs);
      } finally {
        await endCapsule(watched.initPid);
      }

      const reported = gapsIn(reportFile).length;
      const restoreStarted = performance.timeOrigin + performance.now();
      const restored = await callHelper(
        ["restore", "--image", image, "--capsule", `woken-${round}`],
        home,
      );
      try {
        await reportedBy(reportFile, () => gapsIn(reportFile).length > reported);
        const resumed = gapsIn(reportFile)[reported];
        if (resumed !== undefined) values.resumeSeen.push(resumed.resumedAtMs - restoreStarted);
        values.resumeSaid.push(restored.firstInstructionMs);
        values.restoreMs.push(restored.durationMs);
      } finally {
        await endCapsule(restored.initPid);
      }
      rmSync(image, { force: true });
    }
    say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return [
      { name: "pause, as the process saw it", unit: "ms", values: values.pauseSeen, goal: 10 },
      { name: "pause, as the helper says", unit: "ms", values: values.pauseSaid, goal: 10 },
      {
        name: "capture, start of the helper to durable file",
        unit: "ms",
        values: values.captureMs,
      },
      {
        name: "restore to first instruction, as the process saw it (with the helper's own start)",
        unit: "ms",
        values: values.resumeSeen,
        goal: 50,
      },
      {
        name: "restore to first instruction, as the helper says",
        unit: "ms",
        values: values.resumeSaid,
        goal: 50,
      },
      { name: "restore until all of it is in memory", unit: "ms", values: values.restoreMs },
    ];
  },
};
