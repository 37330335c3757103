/** The torpor command against the real agent: what it prints, how it ends, and its terminal. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { spawn as spawnTerminal, type IPty } from "node-pty";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";

let agent: TestAgent;

beforeAll(async () => {
  agent = await TestAgent.create({ shell }).up();
});
afterAll(async () => {
  await agent.destroy();
});

function json(...args: string[]): unknown {
  const { out, status, error } = agent.cli(...args, "--json");
  if (status !== 0) {
    throw new Error(`${args.join(" ")} ended with ${String(status)}: ${error}${out}`);
  }
  return JSON.parse(out);
}

it("does all of an operator's work", () => {
  expect(agent.cli("apps").out).toMatch(/shell +Shell +stopped/);
  expect(agent.cli("start", "shell").out).toBe("Started shell.\n");
  expect(json("apps")).toMatchObject({
    applications: [
      {
        id: "shell",
        state: "running",
        measurement: { sizes: { physicalBytes: expect.any(Number) as number } },
      },
    ],
  });
  const captured = agent.cli("capture", "shell", "--label", "first");
  expect(captured.out).toMatch(
    /^Captured shell: image [0-9a-f]{8}, [\d.]+ [KM]iB, pause [\d.]+ ms\.\n$/,
  );
  const { images } = json("images", "shell") as { images: { id: string; label: string }[] };
  const [image] = images;
  const id = image?.id.slice(0, 6) ?? "";
  expect(agent.cli("images", "shell").out).toMatch(/\* +[0-9a-f]{8} .* operator .* first\n$/);
  expect(agent.cli("image", "verify", id).out).toMatch(/^Image [0-9a-f]{8} is whole: /);
  const shown = agent.cli("image", "show", id, "--tree", "--memory", "--files");
  expect(shown.status).toBe(0);
  expect(shown.out).toMatch(/Tree\n[\s\S]*bash[\s\S]*Memory\n[\s\S]*Files\n/);
  expect(agent.cli("image", "label", id, "renamed").out).toMatch(/labelled "renamed"/);
  expect(agent.cli("inspect", "shell").out).toMatch(/bash --norc -i[\s\S]*It can be captured\.\n$/);
  expect(agent.cli("inspect", "--pid", String(process.pid)).status).toBe(0);
  expect(agent.cli("restore", "shell", "--image", id).out).toMatch(
    /^Restored shell from image .* What ran before is image [0-9a-f]{8}\.\n$/,
  );
  expect(agent.cli("hibernate", "shell").status).toBe(0);
  expect(agent.cli("apps").out).toMatch(/shell +Shell +hibernated/);
  expect(agent.cli("wake", "shell").out).toMatch(/^Woke shell from image /);
  expect(agent.cli("stop", "shell").out).toBe("Stopped shell.\n");
  const folder = agent.mountVolume("elsewhere", "size=100m");
  expect(agent.cli("image", "move", id, folder).out).toMatch(/is now .*\/elsewhere\//);
  expect(agent.cli("image", "delete", id).status).toBe(0);
  expect((json("images", "shell") as { images: unknown[] }).images).toHaveLength(2);
  expect(json("doctor")).toMatchObject({
    arch: expect.any(String) as string,
    features: expect.any(Array) as unknown[],
  });
});

describe("ends with the status that is documented and says why in words", () => {
  it.each([
    [["nope"], 2, /There is no command "nope"/],
    [["start"], 2, /start needs APP/],
    [["start", "shell", "extra"], 2, /does not know what to do with "extra"/],
    [["capture", "shell", "--compress", "rar"], 2, /--compress must be none, lz4 or zstd/],
    [["start", "unknown"], 5, /There is no application "unknown"/],
    [["capture", "shell"], 5, /does not run/],
    [["wake", "shell", "--image", "zzzz"], 2, /must be the first 4 to 32 hexadecimal digits/],
    [["image", "show", "ffffffffffff"], 5, /There is no image/],
    [["inspect", "--pid", "4194303"], 5, /4194303/],
    [["attach", "shell"], 2, /needs a terminal/],
  ])("%j", (args, status, message) => {
    const result = agent.cli(...args);
    expect(result.status).toBe(status);
    expect(result.error).toMatch(message);
    expect(result.error).not.toMatch(/\n {4}at |\.js:\d/);
    const { out } = agent.cli(...args, "--json");
    expect(JSON.parse(out)).toMatchObject({ error: { code: expect.any(String) as string } });
  });
});

describe("attach", () => {
  const expectText = async (seen: () => string, pattern: RegExp): Promise<void> => {
    for (let tries = 0; tries < 400; tries++) {
      if (pattern.test(seen())) {
        return;
      }
      await delay(25);
    }
    throw new Error(`${String(pattern)} does not come: ${JSON.stringify(seen().slice(-2000))}`);
  };

  function attach(...args: string[]): { pty: IPty; seen: () => string; ended: Promise<number> } {
    const { file, args: words, environment } = agent.cliCommand("attach", "shell", ...args);
    const pty = spawnTerminal(file, words, {
      cols: 90,
      rows: 28,
      env: environment,
    });
    let text = "";
    pty.onData((data) => (text += data));
    const ended = new Promise<number>((resolve) =>
      pty.onExit(({ exitCode }) => {
        resolve(exitCode);
      }),
    );
    return { pty, seen: () => text, ended };
  }

  it("types, resizes, follows a restore, detaches, and leaves the application running", async () => {
    agent.cli("start", "shell");
    const { pty, seen, ended } = attach();
    await expectText(seen, /ready>/);
    pty.write("word=first; stty size\r");
    await expectText(seen, /28 90/);
    pty.resize(101, 31);
    await delay(300);
    pty.write("stty size\r");
    await expectText(seen, /31 101/);
    agent.cli("capture", "shell");
    pty.write("word=second; echo is-$word.\r");
    await expectText(seen, /is-second\./);
    agent.cli("restore", "shell", "--no-capture", "--yes");
    pty.write("echo again-$word.\r");
    await expectText(seen, /again-first\./);
    pty.write("\x1d");
    expect(await ended).toBe(0);
    expect(seen()).toMatch(/\[detached from shell; it runs on\]/);
    expect((await agent.application("shell")).state).toBe("running");
  });

  it("puts the terminal back and ends when the application does", async () => {
    agent.cli("start", "shell");
    const { file, args, environment } = agent.cliCommand("attach", "shell");
    const quoted = [file, ...args].map((word) => `'${word}'`).join(" ");
    const pty = spawnTerminal(
      "bash",
      [
        "--norc",
        "-c",
        `stty -a > ${agent.home}/before; ${quoted}; echo status=$?; stty -a > ${agent.home}/after`,
      ],
      {
        env: environment,
      },
    );
    let text = "";
    pty.onData((data) => (text += data));
    await expectText(() => text, /ready>/);
    pty.write("exit 0\r");
    await expectText(() => text, /status=0/);
    await delay(200);
    expect(
      execFileSync("diff", [`${agent.home}/before`, `${agent.home}/after`], { encoding: "utf8" }),
    ).toBe("");
    expect(text).toMatch(/\[Shell ended by itself with exit status 0\.\]/);
  });

  it("only looks with --view", async () => {
    agent.cli("start", "shell");
    const { pty, seen } = attach("--view");
    await expectText(seen, /ready>/);
    pty.write("echo typed-here\r");
    await delay(500);
    expect(seen()).not.toContain("typed-here");
    pty.kill("SIGTERM");
    expect((await agent.application("shell")).state).toBe("running");
  });
});

describe("on a terminal", () => {
  /** Runs a command, answers its questions in order, and gives what it said and how it ended. */
  async function answer(
    args: string[],
    answers: string[],
    variables: NodeJS.ProcessEnv = {},
  ): Promise<{ text: string; status: number }> {
    const { file, args: words, environment } = agent.cliCommand(...args);
    const pty = spawnTerminal(file, words, { cols: 120, env: { ...environment, ...variables } });
    let text = "";
    let asked = 0;
    pty.onData((data) => {
      text += data;
      const questions = text.split(/\[(?:y\/N|Y\/n)\]/).length - 1;
      for (; asked < questions; asked++) {
        pty.write(answers[asked] ?? "\x04");
      }
    });
    const status = await new Promise<number>((resolve) =>
      pty.onExit(({ exitCode }) => {
        resolve(exitCode);
      }),
    );
    return { text, status };
  }

  it("asks before it deletes, and a pin is said", async () => {
    agent.cli("start", "shell");
    expect(agent.cli("capture", "shell").status).toBe(0);
    const [image] = (json("images", "shell") as { images: { id: string }[] }).images;
    const id = image?.id.slice(0, 8) ?? "";
    agent.cli("image", "pin", id);
    const kept = await answer(["image", "delete", id], ["n\r"]);
    expect(kept.text).toMatch(/Delete image [0-9a-f]{8} of .*\? It is pinned\. \[y\/N\]/);
    expect([kept.status, agent.cli("image", "show", id).status]).toEqual([6, 0]);
    for (const silence of ["\x04", "\x03"]) {
      expect((await answer(["image", "delete", id], [silence])).status).toBe(6);
    }
    expect((await answer(["image", "delete", id], ["y\r"])).status).toBe(0);
    expect(agent.cli("image", "show", id).status).toBe(5);
  });

  it("changes a policy in the editor, and offers to go on where it is wrong", async () => {
    const before = agent.cli("policy", "show", "shell").out;
    const same = await answer(["policy", "edit", "shell"], [], { EDITOR: "true" });
    expect([same.status, same.text]).toEqual([0, "Nothing was changed.\r\n"]);
    const wrong = await answer(["policy", "edit", "shell"], ["n\r"], {
      EDITOR: "sed -i $a[keeep]",
    });
    expect(wrong.status).toBe(2);
    expect(wrong.text).toMatch(/key "keeep": .*did you mean "keep"\?\r\n/);
    const copy = /What you wrote is in (\S+)\./.exec(wrong.text)?.[1] ?? "";
    expect(readFileSync(copy, "utf8")).toContain("[keeep]");
    rmSync(dirname(copy), { recursive: true });
    expect(agent.cli("policy", "show", "shell").out).toBe(before);
    const saved = await answer(["policy", "edit", "shell"], [], { EDITOR: "sed -i 1i#Alma" });
    expect([saved.status, agent.cli("policy", "show", "shell").out]).toEqual([
      0,
      `#Alma\n${before}`,
    ]);
    const broken = await answer(["policy", "edit", "shell"], [], { EDITOR: "false" });
    expect([broken.status, broken.text]).toEqual([
      6,
      expect.stringContaining("The editor false failed: it ended with exit status 1.") as string,
    ]);
  });
});

it("completes commands, applications and images", () => {
  const words = (...line: string[]): string[] =>
    agent
      .cli("complete-words", "--", ...line)
      .out.split("\n")
      .filter(Boolean);
  expect(words("")).toContain("hibernate");
  expect(words("image", "")).toEqual([
    "show",
    "verify",
    "delete",
    "move",
    "flatten",
    "label",
    "pin",
    "unpin",
    "note",
  ]);
  expect(words("recover", "shell", "--")).toContain("--explain");
  expect(words("recover", "shell", "--on", "")).toContain("power-loss");
  expect(words("start", "")).toEqual(["shell"]);
  expect(words("capture", "shell", "--")).toContain("--label");
  for (const name of ["bash", "zsh", "fish"]) {
    expect(agent.cli("completion", name).out).toContain("torpor");
  }
  execFileSync("bash", ["-n"], { input: agent.cli("completion", "bash").out });
});
