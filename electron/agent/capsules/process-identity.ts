/**
 * Names a process for good: a PID alone may be somebody else's tomorrow, a PID with its start time and
 * the machine's boot can't.
 */
import { readFileSync } from "node:fs";

let bootId: string | null = null;

export function currentBootId(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return bootId;
}

export interface ProcessStat {
  readonly state: string;
  readonly ppid: number;
  readonly startTicks: number;
}

/** null when there is no such process. */
export function readProcessStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return null;
  }
  // The command's name is in parentheses and may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, ppid] = fields;
  const startTicks = fields[19];
  if (state === undefined || ppid === undefined || startTicks === undefined) {
    return null;
  }
  return { state, ppid: Number(ppid), startTicks: Number(startTicks) };
}

/** True while this very process runs; a zombie has ended. */
export function isProcessAlive(pid: number, startTicks: number): boolean {
  const stat = readProcessStat(pid);
  return (
    stat !== null && stat.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X"
  );
}

/** Signals this very process. Returns false when it has ended. */
export function signalProcess(pid: number, startTicks: number, signal: NodeJS.Signals): boolean {
  // Between the look and the signal the PID can't be reused in practice: PIDs are given out in a ring.
  if (!isProcessAlive(pid, startTicks)) {
    return false;
  }
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") {
      return false;
    }
    throw error;
  }
}
