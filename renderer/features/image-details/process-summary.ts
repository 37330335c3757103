// The processes of an image in short, from what the helper says of its tree. Its words are its own and may
// grow, so that only what is used here is asked for; anything else shows no table.
import { z } from "../../../electron/contract/validation.js";

const treeSchema = z.looseObject({
  processes: z.array(
    z.looseObject({
      pid: z.number(),
      ppid: z.number(),
      comm: z.string(),
      commandLine: z.array(z.string()).catch([]),
      threads: z.array(z.unknown()).catch([]),
    }),
  ),
});

export interface ProcessSummary {
  readonly pid: number;
  readonly parentPid: number;
  readonly threads: number;
  readonly command: string;
}

export function summarizeProcesses(tree: unknown): readonly ProcessSummary[] {
  const parsed = treeSchema.safeParse(tree);
  if (!parsed.success) return [];
  return parsed.data.processes.map((process) => ({
    pid: process.pid,
    parentPid: process.ppid,
    threads: process.threads.length,
    command: process.commandLine.join(" ") || process.comm,
  }));
}
