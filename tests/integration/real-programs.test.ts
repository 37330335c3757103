/**
 * Real programs, each captured while it runs, changed, and brought back from the image: twice over, and
 * what it was doing goes on.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";

import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";
import { TestTerminal } from "./support/test-terminal.js";

let agent: TestAgent;

afterEach(async () => {
  await agent.destroy();
});

async function started(id: string, file: string): Promise<TestTerminal> {
  agent = TestAgent.create({});
  const folder = join(agent.home, "work");
  mkdirSync(folder);
  agent.writeApplication(id, file.replace("FOLDER", folder));
  await agent.up();
  await agent.done(agent.client.call("applications.start", { app: id }));
  return TestTerminal.open(agent.client, id);
}

async function captured(id: string): Promise<string> {
  const { result } = await agent.done(agent.client.call("capture.start", { app: id }));
  return result?.imageId ?? "";
}

async function restored(id: string, image: string): Promise<void> {
  await agent.done(agent.client.call("restore.start", { app: id, image, captureFirst: false }));
}

function program(command: readonly string[]): string {
  return `command = ${JSON.stringify(command)}\nterminal = true\ncwd = "FOLDER"\nstop-grace = "1s"\n[env]\nTERM = "xterm-256color"\nLANG = "C.UTF-8"\n`;
}

const python = String.raw`
import hashlib, os, subprocess, sys, threading, time, tempfile
held = os.urandom(200 << 20)
sum = hashlib.sha256(held).hexdigest()
counts = [0] * 8
def work(i):
    while True:
        counts[i] += 1
        time.sleep(0.01)
for i in range(8):
    threading.Thread(target=work, args=(i,), daemon=True).start()
file = tempfile.NamedTemporaryFile('w+', dir='.')
file.write('before ')
file.flush()
child = subprocess.Popen(['sleep', '100000'])
began = time.monotonic()
print('ready', flush=True)
words = []
for line in sys.stdin:
    word = line.strip()
    words.append(word)
    file.write(word + ' ')
    file.flush()
    a = list(counts); time.sleep(0.3); b = list(counts)
    moving = all(y > x for x, y in zip(a, b))
    whole = hashlib.sha256(held).hexdigest() == sum
    alive = child.poll() is None
    content = open(file.name).read().strip()
    steady = 0 <= time.monotonic() - began < 600
    print(f'[{" ".join(words)}|{content}|{moving} {whole} {alive} {steady}|{os.getpid()},{child.pid}]', flush=True)
`;

const node = String.raw`
const { Worker } = require("node:worker_threads");
const fs = require("node:fs");
const workers = [1, 2].map(() => new Worker('let n = 0; setInterval(() => n++, 5); require("node:worker_threads").parentPort.on("message", (_, p) => require("node:worker_threads").parentPort.postMessage(n))', { eval: true }));
const ask = (worker) => new Promise((resolve) => { worker.once("message", resolve); worker.postMessage(0); });
let ticks = 0;
setInterval(() => ticks++, 10);
fs.mkdirSync("watched", { recursive: true });
let seen = 0;
fs.watch("watched", () => seen++);
const words = [];
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  words.push(line);
  const before = [ticks, ...(await Promise.all(workers.map(ask)))];
  const seenBefore = seen;
  fs.writeFileSync("watched/file", line);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const after = [ticks, ...(await Promise.all(workers.map(ask)))];
  console.log("[" + words.join(" ") + "|" + after.every((n, i) => n > before[i]) + " " + (seen > seenBefore) + "|" + process.pid + "]");
});
console.log("ready");
`;

describe("brought back as it was captured, twice", () => {
  it("python3 with 200 MB, 8 threads, an open file and a child", async () => {
    const terminal = await started("python", program(["python3", "-u", "-c", python]));
    await terminal.shows(/ready/, 30_000);
    const [, pids] = await terminal.ask(
      "one",
      /\[one\|before one\|True True True True\|(\d+,\d+)\]/,
    );
    const image = await captured("python");
    await terminal.ask("two", /\[one two\|before one two\|True True True True\|/);
    for (const word of ["three", "four"]) {
      await restored("python", image);
      // What the file holds now is the file's, not the image's: only the position went back.
      await terminal.ask(
        word,
        new RegExp(
          `\\[one ${word}\\|before one [a-z ]*\\|True True True True\\|${pids ?? "none"}\\]`,
        ),
      );
    }
  });

  it("node with worker threads, timers and a file watcher", async () => {
    const terminal = await started("node", program(["node", "-e", node]));
    await terminal.shows(/ready/);
    const [, pid] = await terminal.ask("one", /\[one\|true true\|(\d+)\]/);
    const image = await captured("node");
    await terminal.ask("two", /\[one two\|true true\|/);
    for (const word of ["three", "four"]) {
      await restored("node", image);
      await terminal.ask(
        word,
        new RegExp(`\\[one ${word}\\|true (true|false)\\|${pid ?? "none"}\\]`),
      );
    }
  });

  it("bash with a pipeline that is mid-stream", async () => {
    const terminal = await started("shell", shell);
    await terminal.ask(
      "(while :; do echo $((n++)); sleep 0.01; done) | while read v; do last=$v; echo $v > /tmp/last; done & echo begun.",
      /begun\./,
    );
    await terminal.ask("sleep 0.5; echo at=$(cat /tmp/last).", /at=\d+\./);
    const image = await captured("shell");
    for (let round = 0; round < 2; round++) {
      await restored("shell", image);
      const [, first] = await terminal.ask(
        `sleep 0.3; echo r${round}a=$(cat /tmp/last).`,
        new RegExp(`r${round}a=(\\d+)\\.`),
      );
      const [, second] = await terminal.ask(
        `sleep 0.5; echo r${round}b=$(cat /tmp/last).`,
        new RegExp(`r${round}b=(\\d+)\\.`),
      );
      expect(Number(second)).toBeGreaterThan(Number(first));
    }
  });

  const editor = ["/usr/bin/vim", "/usr/bin/vim.tiny", "/usr/bin/nano"].find((each) =>
    existsSync(each),
  );
  it.skipIf(editor === undefined)("an editor with unsaved text", async () => {
    const terminal = await started("editor", program([editor ?? "", "letter.txt"]));
    const vim = editor?.includes("vim") === true;
    await terminal.shows(vim ? /letter\.txt/ : /GNU nano/);
    await terminal.type(vim ? "iDear reader" : "Dear reader");
    await terminal.shows(/Dear reader/);
    const image = await captured("editor");
    await terminal.type(" and all else");
    await terminal.shows(/and all else/);
    for (let round = 0; round < 2; round++) {
      await restored("editor", image);
      expect(terminal.text).toMatch(/Dear reader/);
      expect(terminal.text).not.toMatch(/and all else/);
      await terminal.type(`, again ${round}`);
      await terminal.shows(new RegExp(`again ${round}`));
    }
  });
});

it("what an application has in its own /tmp comes back with it", async () => {
  const terminal = await started("shell", shell);
  await terminal.ask("mkdir /tmp/a; echo first > /tmp/a/b; exec 7>>/tmp/a/b; echo made.", /made\./);
  const image = await captured("shell");
  await terminal.ask("echo second >&7; rm /tmp/a/b; echo gone.", /gone\./);
  for (const word of ["third", "fourth"]) {
    await restored("shell", image);
    await terminal.ask(`echo ${word} >&7; echo =$(cat /tmp/a/b)=`, new RegExp(`=first ${word}=`));
  }
});

it("twenty times in a row, and nothing is left over", async () => {
  const terminal = await started("shell", shell);
  await terminal.ask("word=kept; echo set-$word.", /set-kept\./);
  const descriptors = (): number => readdirSync(`/proc/${agent.pid}/fd`).length;
  const mounts = (): number => readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;
  const image = await captured("shell");
  await restored("shell", image);
  await terminal.ask("echo warm.", /warm\./);
  const before = { descriptors: descriptors(), mounts: mounts() };
  for (let round = 0; round < 20; round++) {
    const next = await captured("shell");
    await restored("shell", next);
    await agent.client.call("images.delete", { image: next });
  }
  await terminal.ask("echo is-$word.", /is-kept\./);
  expect({ descriptors: descriptors(), mounts: mounts() }).toEqual(before);
  const { life } = await agent.application("shell");
  expect(readdirSync(`${agent.home}/run/capsules`)).toEqual([life?.capsuleId]);
  expect(readdirSync(agent.store)).toHaveLength(1);
});
