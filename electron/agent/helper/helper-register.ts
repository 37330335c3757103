/**
 * Which helpers run, on disk: an agent that was killed leaves its helpers behind in the middle of their
 * work, and the next one has to end them before it does anything to the same applications.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "../../contract/index.js";
import {
  currentBootId,
  isProcessAlive,
  readProcessStat,
  signalProcess,
} from "../capsules/process-identity.js";
import type { Logger } from "../log.js";

const entrySchema = z.object({
  pid: z.number().int().min(1),
  startTicks: z.number().int().min(0),
  bootId: z.string(),
});

/** A cancelled helper puts everything back within this time, or is stuck. */
const CANCEL_GRACE_MS = 10_000;
const POLL_MS = 10;

export class HelperRegister {
  readonly #folder: string;

  constructor(runFolder: string) {
    this.#folder = join(runFolder, "helpers");
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  add(pid: number): void {
    const stat = readProcessStat(pid);
    if (stat !== null) {
      writeFileSync(
        join(this.#folder, `${pid}.json`),
        JSON.stringify({ pid, startTicks: stat.startTicks, bootId: currentBootId() }),
      );
    }
  }

  remove(pid: number): void {
    rmSync(join(this.#folder, `${pid}.json`), { force: true });
  }

  /** Cancels what an earlier agent left running, so that applications are as before its work. */
  async endLeftovers(log: Logger): Promise<void> {
    const leftovers = readdirSync(this.#folder).flatMap((name) => {
      const file = join(this.#folder, name);
      const entry = readEntry(file);
      const running =
        entry !== null &&
        entry.bootId === currentBootId() &&
        isProcessAlive(entry.pid, entry.startTicks);
      if (!running) {
        rmSync(file, { force: true });
      }
      return running ? [{ ...entry, file }] : [];
    });
    for (const { pid, startTicks } of leftovers) {
      log.warn({ pid }, "ending a helper that an earlier agent left");
      signalProcess(pid, startTicks, "SIGTERM");
    }
    const deadline = performance.now() + CANCEL_GRACE_MS;
    for (const { pid, startTicks, file } of leftovers) {
      while (isProcessAlive(pid, startTicks)) {
        if (performance.now() > deadline) {
          signalProcess(pid, startTicks, "SIGKILL");
        }
        await delay(POLL_MS);
      }
      rmSync(file, { force: true });
    }
  }
}

function readEntry(file: string): z.infer<typeof entrySchema> | null {
  try {
    return entrySchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null;
  }
}
