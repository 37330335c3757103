/**
 * A capsule as its runtime folder tells of it: who is in it, whether it lives, how it ended. The
 * folder is written by the capsule's init; the agent reads it, and removes it when all is over.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { basename, dirname, join } from "node:path";
import {
  capsuleFileSchema,
  capsuleIdSchema,
  exitReportSchema,
  type ApplicationId,
  type CapsuleFile,
  type CapsuleId,
  type ExitReport,
} from "../../contract/index.js";
import {
  currentBootId,
  isProcessAlive,
  readProcessStat,
  signalProcess,
} from "./process-identity.js";

const POLL_MS = 20;

export class Capsule {
  readonly folder: string;
  readonly file: CapsuleFile;

  private constructor(folder: string, file: CapsuleFile) {
    this.folder = folder;
    this.file = file;
  }

  /** null when its file is not there (yet) or is not one of ours. */
  static read(capsulesFolder: string, id: CapsuleId): Capsule | null {
    const folder = join(capsulesFolder, id);
    try {
      const file = capsuleFileSchema.parse(
        JSON.parse(readFileSync(join(folder, "capsule.json"), "utf8")),
      );
      return new Capsule(folder, file);
    } catch {
      return null;
    }
  }

  get id(): CapsuleId {
    return this.file.id;
  }

  get attachSocket(): string {
    return join(this.folder, "attach.sock");
  }

  /** Where viewers of its private display connect, if it has one. */
  get displaySocket(): string {
    return join(this.folder, "ctl", "display.sock");
  }

  get alive(): boolean {
    return (
      this.file.bootId === currentBootId() &&
      isProcessAlive(this.file.initPid, this.file.initStartTicks)
    );
  }

  /** How its application ended; null when it has not, or was killed together with its init. */
  readExit(): ExitReport | null {
    try {
      return exitReportSchema.parse(
        JSON.parse(readFileSync(join(this.folder, "exit.json"), "utf8")),
      );
    } catch {
      return null;
    }
  }

  /** Asks the application to end (SIGTERM), or ends the whole capsule at once (SIGKILL). */
  signal(signal: "SIGTERM" | "SIGKILL"): boolean {
    return (
      this.file.bootId === currentBootId() &&
      signalProcess(this.file.initPid, this.file.initStartTicks, signal)
    );
  }

  /** What the root process gets when its terminal goes away. */
  hangUp(): void {
    const { rootPid, initPid } = this.file;
    // The root's own start time is nowhere written down; that it is init's child names it as well.
    if (this.alive && readProcessStat(rootPid)?.ppid === initPid) {
      try {
        process.kill(rootPid, "SIGHUP");
      } catch {
        // It has just ended.
      }
    }
  }

  /** True when it has ended within the time. */
  async waitForEnd(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (this.alive) {
      if (performance.now() >= deadline) {
        return false;
      }
      await delay(POLL_MS);
    }
    return true;
  }

  /**
   * Stops or continues the application's processes without their knowledge. Returns false where the
   * machine offers no cgroup for it.
   */
  setFrozen(frozen: boolean): boolean {
    const { cgroup } = this.file;
    if (cgroup === null || cgroup === undefined) {
      return false;
    }
    try {
      writeFileSync(join(cgroup, "cgroup.freeze"), frozen ? "1" : "0");
      return true;
    } catch {
      return false;
    }
  }

  /** Removes what an ended capsule has left: its runtime folder, and its cgroup if init was killed. */
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
    const { cgroup } = this.file;
    if (cgroup === null || cgroup === undefined) {
      return;
    }
    const group = dirname(cgroup);
    // capsule.json is root's alone, but a folder that isn't this capsule's is never removed.
    if (basename(group).startsWith(`${this.id}@`)) {
      for (const folder of [cgroup, join(group, "init"), group, dirname(group)]) {
        try {
          rmdirSync(folder);
        } catch {
          // Gone already, or other capsules are in it.
        }
      }
    }
  }
}

/** Ids of all runtime folders, those of the dead included. */
export function listCapsuleIds(capsulesFolder: string): CapsuleId[] {
  if (!existsSync(capsulesFolder)) {
    return [];
  }
  return readdirSync(capsulesFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && capsuleIdSchema.safeParse(entry.name).success)
    .map((entry) => entry.name);
}

/** `ward-board.3`: the third life of the application. A life has one capsule and a capsule one life. */
export function capsuleIdOf(application: ApplicationId, life: number): CapsuleId {
  return `${application}.${life}`;
}

/** null for a capsule that is not an application's, such as one that was run by hand. */
export function parseCapsuleId(id: CapsuleId): { application: ApplicationId; life: number } | null {
  const match = /^([^.]+)\.([1-9]\d{0,9})$/.exec(id);
  return match?.[1] === undefined || match[2] === undefined
    ? null
    : { application: match[1], life: Number(match[2]) };
}
