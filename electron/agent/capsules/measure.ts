/**
 * The sizes of a running tree from what /proc keeps anyway: no process is stopped or even touched for
 * it, so it can be done every few seconds.
 */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Capsule } from "./capsule.js";
import { readProcessStat } from "./process-identity.js";

export interface TreeMemory {
  readonly physicalBytes: number;
  readonly virtualBytes: number;
  readonly processes: number;
}

/** What an image of the capsule's processes would hold: memory that is theirs, not the files they map. */
export async function measureTree(capsule: Capsule): Promise<TreeMemory> {
  let physicalBytes = 0;
  let virtualBytes = 0;
  let processes = 0;
  for (const pid of processesOf(capsule)) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "latin1").catch(() => null);
    if (rollup === null) {
      continue;
    }
    processes += 1;
    // Proportional shares: a page that two processes share counts once in all.
    physicalBytes += field(rollup, "Pss_Anon") + field(rollup, "Pss_Shmem");
    virtualBytes += field(rollup, "SwapPss");
  }
  return { physicalBytes, virtualBytes, processes };
}

/** All of them, in the machine's own numbers. */
export function processesOf(capsule: Capsule): number[] {
  const { cgroup } = capsule.file;
  if (cgroup !== null && cgroup !== undefined) {
    try {
      return readFileSync(join(cgroup, "cgroup.procs"), "latin1")
        .split("\n")
        .filter(Boolean)
        .map(Number);
    } catch {
      // The cgroup is gone with its processes, or was never readable: look at the tree.
    }
  }
  return descendantsOf(capsule.file.initPid);
}

/** All below init; orphans are adopted by it, so none is missed. */
function descendantsOf(initPid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? readProcessStat(pid) : null;
    if (stat !== null) {
      const siblings = childrenOf.get(stat.ppid) ?? [];
      siblings.push(pid);
      childrenOf.set(stat.ppid, siblings);
    }
  }
  const found: number[] = [];
  const queue = [initPid];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    const children = childrenOf.get(pid) ?? [];
    found.push(...children);
    queue.push(...children);
  }
  return found;
}

function field(rollup: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(rollup);
  return Number(match?.[1] ?? 0) * 1024;
}
