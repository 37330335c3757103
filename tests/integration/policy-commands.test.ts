/** The commands of policy and recovery against the real agent: what they say, and what they refuse. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import type { ImageRecord } from "../../electron/contract/index.js";
import { shell } from "./support/applications.js";
import { TestAgent } from "./support/test-agent.js";

const recovery = `
[recovery]
on-crash = ["pinned", "newest"]
on-hang = [{ label = "calm" }, "newest-healthy"]
on-start = [{ before = "1d" }]
on-power-loss = ["start"]
clean-start = true
`;

let agent: TestAgent;
let older: ImageRecord;
let newer: ImageRecord;

beforeAll(async () => {
  agent = await TestAgent.create({ plain: shell, board: shell + recovery }).up();
  await agent.done(agent.client.call("applications.start", { app: "board" }));
  for (const label of ["calm", "busy"]) {
    await agent.done(agent.client.call("capture.start", { app: "board", label }));
  }
  const [first, second] = await agent.images("board");
  if (first === undefined || second === undefined) {
    throw new Error("two images were taken, and are not listed");
  }
  [newer, older] = [first, second];
});
afterAll(async () => {
  await agent.destroy();
});

function short({ id }: ImageRecord): string {
  return id.slice(0, 8);
}

/** What a command prints; anything but a good end fails the test. */
function told(...args: string[]): string {
  const { out, error, status } = agent.cli(...args);
  expect([status, error]).toEqual([0, ""]);
  return out;
}

describe("recover --explain", () => {
  it("says for each occurrence which image, why, and why not the others", () => {
    const crash = told("recover", "--explain", "board", "--on", "crash");
    expect(crash).toContain(`Restore image ${short(newer)}`);
    expect(crash).toContain("it is the newest that the rule newest finds");
    expect(crash).toMatch(new RegExp(`passed over ${short(newer)} .*"busy": it is not pinned\n`));
    expect(crash).toMatch(new RegExp(`passed over ${short(older)} .*"calm": it is not pinned\n`));

    const hang = told("recover", "--explain", "board", "--on", "hang");
    expect(hang).toMatch(
      new RegExp(
        `^Restore image ${short(older)} .*: it is the newest that the rule \\{ label = "calm" \\} finds`,
      ),
    );
    expect(hang).toContain('it has the label "busy", not "calm"');

    const start = told("recover", "--explain", "board", "--on", "start");
    expect(start).toMatch(/^Start it cleanly: no rule has an image left/);
    expect(start).toMatch(/it was taken \d+ s before, which is less than 1d/);

    expect(told("recover", "--explain", "board", "--on", "power-loss")).toBe(
      "Start it cleanly: a clean start is what the rules say next.\n",
    );
  });

  it("does nothing to the application", async () => {
    const before = await agent.application("board");
    told("recover", "--explain", "board");
    expect((await agent.application("board")).life).toEqual(before.life);
    expect(told("history", "board")).toBe("Nothing has happened yet.\n");
  });

  it("says so of an application that has no rules", () => {
    expect(told("recover", "--explain", "plain", "--on", "hang")).toBe(
      "Nothing: the file of plain has no [recovery], so it stays as it is.\n",
    );
  });

  it("is data with --json", () => {
    const { decision } = JSON.parse(
      told("recover", "--explain", "board", "--on", "hang", "--json"),
    ) as { decision: unknown };
    expect(decision).toMatchObject({
      action: "restore",
      imageId: older.id,
      rule: '{ label = "calm" }',
      passedOver: [{ imageId: newer.id, rule: 0 }],
    });
  });
});

it("policy check says what an application's file means", () => {
  const board = told("policy", "check", "board");
  expect(board).toMatch(/^board\n/);
  expect(board).toMatch(/Images are taken +only when somebody asks\n/);
  expect(board).toMatch(/Images kept +all of them\n/);
  expect(board).toMatch(new RegExp(`At the next crash:\n +Restore image ${short(newer)}`));
  expect(board).toMatch(new RegExp(`At the next hang:\n +Restore image ${short(older)}`));
  expect(board).toMatch(/At the next start:\n +Start it cleanly/);
  const all = told("policy", "check");
  expect(all).toMatch(/^board\n[\s\S]*^plain\n/m);
  expect(all).toMatch(/At the next crash:\n +nothing: its file has no \[recovery\]\n/);
});

it("policy check ends with 2 and names file, line and key when the file has an error", async () => {
  agent.writeApplication("board", `${shell}[recovery]\non-crash = ["oldest"]\n`);
  await vi.waitFor(() => {
    const { status, out } = agent.cli("policy", "check", "board");
    expect(status).toBe(2);
    expect(out).toMatch(
      /board\.toml, line 11, key "recovery\.on-crash\.0": has "oldest", which is no rule/,
    );
  }, 10_000);
  // One that never was any better has no policy to speak of.
  agent.writeApplication("new", 'command = ["true"]\n[capture]\nincremental = "yes"\n');
  await vi.waitFor(() => {
    const { status, out } = agent.cli("policy", "check", "new");
    expect(status).toBe(2);
    expect(out).toMatch(
      /^new\n.*line 3, key "capture\.incremental": must be true or false.*\n +None of it holds until that is corrected\.\n$/,
    );
  }, 10_000);
  agent.writeApplication("new", 'command = ["true"]\n[capture]\nincremental = true\n');
  await vi.waitFor(() => {
    expect(told("policy", "check", "new")).toMatch(
      /Images are taken +only when somebody asks; each holds what has changed, and at most 8 build/,
    );
  }, 10_000);
  rmSync(join(agent.home, "apps.d/new.toml"));
  agent.writeApplication("board", shell + recovery);
  await vi.waitFor(() => {
    expect(agent.cli("policy", "check", "board").status).toBe(0);
  }, 10_000);
});

it("image pin, unpin and note change what the catalog says and what a crash would choose", () => {
  expect(told("image", "pin", short(older))).toBe(`Image ${short(older)} is pinned.\n`);
  expect(told("image", "note", short(older), "after the audit")).toBe(
    `Image ${short(older)}: after the audit\n`,
  );
  const shown = told("image", "show", short(older));
  expect(shown).toMatch(/Pinned +yes\n/);
  expect(shown).toMatch(/Remark +after the audit\n/);
  expect(told("images", "board")).toMatch(new RegExp(`${short(older)} .* ok, pinned +calm`));
  expect(told("recover", "--explain", "board")).toMatch(
    new RegExp(`^Restore image ${short(older)} .*the rule pinned finds`),
  );
  expect(told("image", "unpin", short(older))).toBe(
    `Image ${short(older)} is not pinned any more.\n`,
  );
  expect(told("image", "note", short(older))).toBe(
    `Image ${short(older)} has no remark any more.\n`,
  );
  expect(told("image", "show", short(older))).not.toContain("Remark");
  expect(told("recover", "--explain", "board")).toContain(`Restore image ${short(newer)}`);
});

it("prune --dry-run says what would go and why, and deletes nothing", async () => {
  expect(told("prune", "board", "--dry-run")).toBe(
    "Nothing to delete: the rules keep every image.\n",
  );
  agent.writeApplication("board", `${shell}${recovery}[keep]\ncount = 1\n`);
  await vi.waitFor(() => {
    expect(told("policy", "check", "board")).toMatch(/Images kept +the newest 1\n/);
  }, 10_000);
  const dry = told("prune", "board", "--dry-run");
  expect(dry).toMatch(new RegExp(`${short(older)} +board .* calm +\\S`));
  expect(dry).not.toContain(short(newer));
  expect(dry).toMatch(/1 image would be deleted, [\d.]+ [KM]iB\.\n$/);
  expect(await agent.images("board")).toHaveLength(2);

  told("image", "pin", short(older));
  expect(told("prune", "board", "-n")).toMatch(
    new RegExp(
      `^Kept: ${short(older)} of board, .*; no rule asks for it, but it is pinned\\.\nNothing to delete\\.\n$`,
    ),
  );
  told("image", "unpin", short(older));
});

it("history tells an occurrence with its decision, and what came of it", async () => {
  const { life } = await agent.application("board");
  const refused = agent.cli("recover", "board", "--on", "hang");
  expect([refused.status, refused.error]).toEqual([
    6,
    expect.stringContaining("runs already") as string,
  ]);
  told("stop", "board");
  const recovered = told("recover", "board", "--on", "hang");
  expect(recovered).toContain(`Restore image ${short(older)}`);
  await vi.waitFor(async () => {
    const now = (await agent.application("board")).life;
    expect(now?.number).toBeGreaterThan(life?.number ?? 0);
    expect(now?.restoredFromImageId).toBe(older.id);
    expect(told("history", "board")).toMatch(
      new RegExp(
        `board  hang: .*\n +Restore image ${short(older)} .*\n +passed over ${short(newer)} .*\n +done`,
      ),
    );
  }, 15_000);
  expect(told("history", "--limit", "1").match(/^ {4}done/gm)).toHaveLength(1);
  expect(told("history", "plain")).toBe("Nothing has happened yet.\n");
});

describe("refuses in words", () => {
  it.each([
    [["recover", "--explain", "unknown", "--on", "crash"], 5, /There is no application "unknown"/],
    [["recover", "unknown"], 5, /There is no application "unknown"/],
    [["recover", "--explain", "board", "--on", "flood"], 2, /--on must be .*crash.*power-loss/],
    [["recover", "--explain"], 2, /recover needs APP/],
    [["history", "unknown"], 5, /There is no application "unknown"/],
    [["history", "board", "--limit", "0"], 2, /--limit must be a whole number from 1 to 10000/],
    [["history", "board", "--limit", "many"], 2, /--limit must be a whole number from 1 to 10000/],
    [["policy", "check", "unknown"], 5, /There is no application "unknown"/],
    [["policy"], 2, /"policy" needs to know what to do: policy show, policy check/],
    [
      ["policy", "frob"],
      2,
      /There is no command "policy frob"; there are policy show, policy check/,
    ],
    [["prune", "unknown", "--dry-run"], 5, /There is no application "unknown"/],
    [["prune", "--dryrun"], 2, /--dryrun/],
    [["image", "pin"], 2, /image pin needs ID/],
    [["image", "pin", "ffffffffffff"], 5, /There is no image/],
    [["image", "unpin", "zz"], 2, /must be the first 4 to 32 hexadecimal digits/],
    [["image", "note", "ffffffffffff", "text"], 5, /There is no image/],
  ])("%j", refuses);
  it("a remark that is longer than any", () => {
    refuses(["image", "note", "ffff", "x".repeat(5000)], 2, /remark/);
  });

  function refuses(args: string[], status: number, message: RegExp): void {
    const result = agent.cli(...args);
    expect(result.error).toMatch(message);
    expect(result.status).toBe(status);
    expect(result.error).not.toMatch(/\n {4}at |\.js:\d/);
    const { out } = agent.cli(...args, "--json");
    expect(JSON.parse(out)).toMatchObject({ error: { code: expect.any(String) as string } });
  }
});

describe("notices", () => {
  it("are listed until they are dismissed, also by application, and apps says how many there are", async () => {
    agent.writeApplication("doomed", `command = ["bash", "-c", "sleep 0.3; exit 3"]\n`);
    await vi.waitFor(async () => {
      await agent.done(agent.client.call("applications.start", { app: "doomed" }));
    }, 5000);
    await vi.waitFor(
      () => {
        expect(told("notices", "doomed")).toMatch(
          /^\d+ {2}[\d-]+ [\d:]+ {2}error {2}doomed\n {4}"doomed" ended with exit status 3\./,
        );
      },
      { timeout: 10_000, interval: 200 },
    );
    expect(told("notices", "plain")).toBe("Nothing to tell.\n");
    expect(agent.cli("apps").out).toMatch(/\d+ notices? not read yet: torpor notices\n$/);
    const { notices } = JSON.parse(told("notices", "doomed", "--json")) as {
      notices: { id: number }[];
    };
    const number = String(notices[0]?.id);
    expect(agent.cli("notice", "dismiss").status).toBe(2);
    expect(told("notice", "dismiss", number)).toBe("Dismissed 1 notice.\n");
    expect(told("notices", "doomed")).toBe("Nothing to tell.\n");
    expect(agent.cli("notice", "dismiss", number)).toMatchObject({
      status: 2,
      error: expect.stringContaining(`There is no notice ${number}`) as string,
    });
    told("notice", "dismiss", "--all");
    expect(told("notices")).toBe("Nothing to tell.\n");
    expect(agent.cli("apps").out).not.toContain("not read yet");
  });
});

describe("audit", () => {
  it("lists what was done and how it ended, newest first, also of an image that is gone", async () => {
    const { result } = await agent.done(agent.client.call("capture.start", { app: "board" }));
    const id = result?.imageId ?? "";
    told("image", "delete", id.slice(0, 12), "--yes");
    const [head, ...rows] = told("audit", "board").trimEnd().split("\n");
    expect(head).toMatch(/^WHEN +WHAT +APPLICATION +IMAGE +OUTCOME *$/);
    const entries = rows.map((row) => row.split(/ {2,}/).slice(1).join(" "));
    expect(entries.slice(0, 2)).toEqual([
      `delete board ${id.slice(0, 8)} succeeded`,
      `capture board ${id.slice(0, 8)} succeeded`,
    ]);
    expect(entries.slice(-3)).toEqual([
      `capture board ${short(newer)} succeeded`,
      `capture board ${short(older)} succeeded`,
      "start board – succeeded",
    ]);
    expect(told("audit", "board", "--limit", "1").trimEnd().split("\n")).toHaveLength(2);
    expect(JSON.parse(told("audit", "board", "--limit", "1", "--json"))).toMatchObject({
      entries: [{ action: "delete", applicationId: "board", imageId: id, outcome: "succeeded" }],
    });
    expect(told("audit", "nobody")).toBe("Nothing was done to nobody.\n");
    expect(agent.cli("audit", "--limit", "0")).toMatchObject({ status: 2 });
  });
});

describe("the policy in an application's file", () => {
  it("is shown as it is, checked before it is saved, and keeps its comments", () => {
    const before = told("policy", "show", "board");
    expect(before).toBe(readFileSync(join(agent.home, "apps.d/board.toml"), "utf8"));
    const file = join(agent.home, "edited.toml");
    const text = `# Ask Alma first.\norder = 7 # the ward's own\n${before}[restore]\nchanged-files = "refuse"\n`;
    writeFileSync(file, text);
    expect(told("policy", "check", "board", "--file", file)).toContain("At the next crash");
    expect(told("policy", "save", "board", file)).toMatch(/^Saved .*board\.toml\./);
    expect(readFileSync(join(agent.home, "apps.d/board.toml"), "utf8")).toBe(text);

    writeFileSync(file, text.replace("order = 7", 'order = "high"'));
    const refused = agent.cli("policy", "save", "board", file);
    expect([refused.status, refused.error]).toEqual([
      2,
      expect.stringMatching(/board\.toml, line \d+, key "order"/),
    ]);
    writeFileSync(file, text.replace("bash", "sh"));
    expect(agent.cli("policy", "save", "board", file)).toMatchObject({
      status: 7,
      error: expect.stringContaining("command") as string,
    });
    expect(told("policy", "show", "board")).toBe(text);
    writeFileSync(file, before);
    told("policy", "save", "board", file);
  });
});

describe("what is under way", () => {
  it("is listed, and so is what has ended; a name that is wrong is said to be", () => {
    expect(told("operations")).toBe("Nothing is under way.\n");
    expect(told("operations", "board", "--all")).toMatch(/capture +board +[0-9a-f]{8} .*succeeded/);
    expect(agent.cli("cancel", "op-0").status).toBe(5);
    expect(told("rescan")).toBe("Nothing has changed.\n");
  });
});
