import { expect, it } from "vitest";
import { summarizeProcesses } from "./process-summary.js";

it("takes from the tree what the table shows", () => {
  const tree = {
    origin: {},
    processes: [
      { pid: 2, ppid: 0, comm: "python3", commandLine: ["python3", "b.py"], threads: [{}, {}] },
      { pid: 7, ppid: 2, comm: "kept", commandLine: [], threads: [{}], umask: 18 },
    ],
  };
  expect(summarizeProcesses(tree)).toEqual([
    { pid: 2, parentPid: 0, threads: 2, command: "python3 b.py" },
    { pid: 7, parentPid: 2, threads: 1, command: "kept" },
  ]);
});

it("shows nothing of what it doesn't know", () => {
  expect(summarizeProcesses(undefined)).toEqual([]);
  expect(summarizeProcesses([{ pid: 2 }])).toEqual([]);
  expect(summarizeProcesses({ processes: "many" })).toEqual([]);
});
