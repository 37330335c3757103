/**
 * One agent per state folder. The lock is the kernel's on a file (SQLite takes it for us), so it goes
 * with the process that held it, however that ended, and nothing stale can be left.
 */
import { readFileSync, writeFileSync } from "node:fs";
import Database from "better-sqlite3";
import { fail } from "../contract/index.js";

export interface AgentLock {
  release(): void;
}

/** @throws FailureError with code `busy` when another agent holds it. */
export function acquireAgentLock(file: string): AgentLock {
  const pidFile = `${file}.pid`;
  const database = new Database(file, { timeout: 0 });
  try {
    database.pragma("journal_mode = MEMORY");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Database.SqliteError && error.code.startsWith("SQLITE_BUSY")) {
      const pid = readPid(pidFile);
      fail("busy", {
        happened: `Another agent${pid === null ? "" : ` (process ${pid})`} already looks after this state folder: it holds ${file}.`,
        unchanged: "It runs on; this one ends.",
        remedy: "Use that one, end it first, or set TORPOR_HOME to another folder.",
      });
    }
    throw error;
  }
  writeFileSync(pidFile, `${process.pid}\n`);
  return {
    release: () => {
      database.close();
    },
  };
}

function readPid(file: string): string | null {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^\d+$/.test(text) ? text : null;
  } catch {
    return null;
  }
}
