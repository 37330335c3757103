// What does an image of what has changed cost? One process of 1 GiB of random memory writes one page in a hundred
// between a complete capture and one that builds on it, turn by turn.
import { spawn } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { callHelper } from "./helper-calls.mjs";
import { reportedBy } from "./gap-watch.mjs";

const megabytes = Number(process.env.TORPOR_BENCH_MEGABYTES ?? 1024);
const rounds = Number(process.env.TORPOR_BENCH_ROUNDS ?? 7);

const program = `
import mmap, os, random, sys, time
report, order, pages = sys.argv[1], sys.argv[2], int(sys.argv[3]) * 256
memory = mmap.mmap(-1, pages * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for start in range(0, pages * 4096, 1 << 20):
    memory[start:start + (1 << 20)] = os.urandom(1 << 20)
def tell(word):
    with open(report, "a") as out:
        out.write(word + "\\n")
tell("ready")
while True:
    time.sleep(0.005)
    if os.path.exists(order):
        os.unlink(order)
        for page in random.sample(range(pages), pages // 100):
            memory[page * 4096:page * 4096 + 8] = os.urandom(8)
        tell("written")
`;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "1 % of 1 GiB written since the parent: bytes and time to durable, beside a complete capture",
  async measure({ scratch, say }) {
    const place = {
      report: join(scratch, "report"),
      order: join(scratch, "order"),
      home: join(scratch, "home"),
    };
    const command = ["-c", program, place.report, place.order, String(megabytes)];
    const child = spawn("python3", command, { detached: true, stdio: "ignore" });
    const pid = String(child.pid ?? 0);
    /** @type {Map<string, import("./measurement.mjs").Series>} */
    const series = new Map();
    /** @param {string} name @param {string} unit @param {number} value @param {number} [goal] */
    const add = (name, unit, value, goal) => {
      const one = series.get(name) ?? {
        name,
        unit,
        values: [],
        ...(goal === undefined ? {} : { goal }),
      };
      one.values.push(value);
      series.set(name, one);
    };
    const [whole, increment] = [join(scratch, "whole.torpor"), join(scratch, "increment.torpor")];
    try {
      await reportedBy(place.report, (lines) => lines.includes("ready"));
      for (let round = 1; round <= rounds; round++) {
        const full = await callHelper(
          ["capture", "--pid", pid, "--image", whole, "--track"],
          place.home,
        );
        await writeFile(place.order, "");
        await reportedBy(
          place.report,
          (lines) => lines.filter((line) => line === "written").length === round,
        );
        const part = await callHelper(
          ["capture", "--pid", pid, "--image", increment, "--parent", whole],
          place.home,
        );
        add("complete", "ms", full.durationMs);
        add("complete: pause", "ms", full.pauseMs);
        add("what has changed", "ms", part.durationMs);
        add("what has changed: pause", "ms", part.pauseMs);
        add("time, of a complete capture's", "%", (part.durationMs / full.durationMs) * 100, 15);
        add("bytes, of a complete image's", "%", (part.fileBytes / full.fileBytes) * 100, 3);
        await rm(whole);
        await rm(increment);
      }
    } finally {
      child.kill("SIGKILL");
      await rm(whole, { force: true });
      await rm(increment, { force: true });
    }
    say(`load while measuring: ${readFileSync("/proc/loadavg", "utf8").trim()}`);
    return [...series.values()];
  },
};
