/**
 * The agent's log. It may be read by people who must not see what applications handle, so nothing of
 * an application goes into it but its id and its program's name: no terminal content, no environment,
 * no arguments.
 */
import { pino, destination, type Logger } from "pino";

export type { Logger };

/** JSON lines for a journal; a readable line each where a person looks on. */
export function createLog(level: string, readable: boolean): Logger {
  const options = { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  if (!readable) {
    return pino(options, destination({ fd: 2, sync: true }));
  }
  return pino(options, {
    write(line: string): void {
      process.stderr.write(`${readableLine(line)}\n`);
    },
  });
}

const levelNames: Record<number, string> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

function readableLine(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(rest).map(([key, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${key}=${text}`;
  });
  const clock = String(time).slice(11, 23);
  return [clock, (levelNames[Number(level)] ?? "").padEnd(5), msg, ...details].join(" ");
}
