/** Runs a probe's command: as the application's user, with nothing of the agent's, and not for long. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeDuration } from "../../contract/index.js";

const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C",
};

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Null when it exited with 0; else how it ended. */
export function runProbeCommand(
  command: readonly string[],
  user: string | null,
  timeoutMs: number,
): Promise<string | null> {
  const [program = "", ...args] = command;
  let account: Account | null = null;
  if (user !== null) {
    account = accountOf(user);
    if (account === null) {
      // Rather not at all than as root.
      return Promise.resolve(`its command can't run: there is no user "${user}"`);
    }
  }
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: "/",
      env: ENVIRONMENT,
      stdio: "ignore",
      // A group of its own: what it has started ends with it.
      detached: true,
      ...(account ?? {}),
    });
    const timer = setTimeout(() => {
      end(`its command did not end within ${writeDuration(timeoutMs)}`);
    }, timeoutMs);
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, "SIGKILL");
        } catch {
          // All of it has ended.
        }
      }
      resolve(problem);
    };
    child.once("error", (error) => {
      end(`its command can't run: ${error.message}`);
    });
    child.once("exit", (code, signal) => {
      end(code === 0 ? null : `its command ended with ${signal ?? `exit status ${code ?? "?"}`}`);
    });
  });
}

/** From /etc/passwd, as the capsule looks it up. */
function accountOf(user: string): Account | null {
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const line of lines) {
    const [name, , uid, gid] = line.split(":");
    if ((name === user || uid === user) && uid !== undefined && gid !== undefined) {
      return { uid: Number(uid), gid: Number(gid) };
    }
  }
  return null;
}
