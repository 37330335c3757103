/** The processor time that a capsule's processes have used so far. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Capsule } from "./capsule.js";
import { processesOf } from "./measure.js";

/** USER_HZ, which the kernel has kept at 100 for /proc on every architecture that we run on. */
const MS_PER_TICK = 10;

/** In milliseconds; null when nothing can be told. */
export function processorMs(capsule: Capsule): number | null {
  const { cgroup } = capsule.file;
  if (cgroup !== null && cgroup !== undefined) {
    try {
      // Kept for every cgroup of version 2, whether or not its processor controller is on.
      const stat = readFileSync(join(cgroup, "cpu.stat"), "latin1");
      const match = /^usage_usec (\d+)$/m.exec(stat);
      if (match?.[1] !== undefined) {
        return Number(match[1]) / 1000;
      }
    } catch {
      // No cgroup any more: its processes still tell.
    }
  }
  let ticks = 0;
  let seen = false;
  for (const pid of processesOf(capsule)) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
      seen = true;
    } catch {
      // It has just ended.
    }
  }
  return seen ? ticks * MS_PER_TICK : null;
}
