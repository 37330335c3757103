import { describe, expect, it } from "vitest";
import type { ConfigProblem } from "../../contract/index.js";
import { formatProblem, readApplicationText } from "./application-file.js";

function problemOf(text: string): ConfigProblem {
  const result = readApplicationText("/etc/torpor/apps.d/demo.toml", text);
  if (result.ok) {
    throw new Error("the text was accepted");
  }
  return result.problem;
}

describe("readApplicationText", () => {
  it("fills in defaults and takes durations and displays apart", () => {
    const result = readApplicationText(
      "demo.toml",
      'command = ["top"]\ndisplay = "1280x800"\nstop-grace = "2s"\n[env]\nLANG = "C"\n',
    );
    expect(result).toEqual({
      ok: true,
      config: {
        command: ["top"],
        terminal: false,
        display: { width: 1280, height: 800 },
        env: { LANG: "C" },
        start: "manual",
        order: 0,
        "stop-grace": 2000,
        capture: {
          compress: "none",
          connections: "keep",
          incremental: false,
          "longest-chain": 8,
          "after-ready": false,
          "at-shutdown": false,
          "before-restore": false,
        },
        restore: { "changed-files": "warn" },
        keep: { policy: "keep" },
        health: { grace: 60_000, probe: {} },
      },
    });
  });

  it.each([
    [
      "a wrong type",
      'name = "X"\ncommand = "top"\n',
      2,
      "command",
      'must be an array such as ["program", "argument"], not the string "top"',
    ],
    [
      "a wrong type below",
      'command = ["top"]\n\n[capture]\ncompress = 3\n',
      4,
      "capture.compress",
      'must be one of "none", "lz4", "zstd", not 3',
    ],
    [
      "a wrong element",
      'command = [\n  "top",\n  5,\n]\n',
      1,
      "command.1",
      "must be a string, not the number 5",
    ],
    [
      "an unknown key",
      'comand = ["top"]\n',
      1,
      "comand",
      'is not a known key; did you mean "command"?',
    ],
    [
      "an unknown key below",
      'command = ["top"]\n[capture]\ncompres = "lz4"\n',
      3,
      "capture.compres",
      'is not a known key; did you mean "compress"?',
    ],
    [
      "a key with an underscore",
      'command = ["top"]\nstop_grace = "1s"\n',
      2,
      "stop_grace",
      'is not a known key; did you mean "stop-grace"?',
    ],
    [
      "a bad duration",
      'command = ["top"]\nstop-grace = "soon"\n',
      2,
      "stop-grace",
      'must be a duration such as "500ms", "10s" or "5m"',
    ],
    [
      "a bad display",
      'command = ["top"]\ndisplay = "big"\n',
      2,
      "display",
      'must be WIDTHxHEIGHT in pixels, such as "1280x800", from 64x64 to 7680x4320',
    ],
    [
      "a display that is too high",
      'command = ["top"]\ndisplay = "7680x4321"\n',
      2,
      "display",
      'must be WIDTHxHEIGHT in pixels, such as "1280x800", from 64x64 to 7680x4320',
    ],
    ["an empty command", "command = []\n", 1, "command", "must name a program"],
    ["a relative folder", 'command = ["top"]\ncwd = "tmp"\n', 2, "cwd", "must be an absolute path"],
    [
      "a bad variable name",
      'command = ["top"]\n[env]\n"A B" = "x"\n',
      3,
      "env.A B",
      "must be the name of an environment variable",
    ],
    [
      "terminal and display",
      'command = ["top"]\nterminal = true\ndisplay = "800x600"\n',
      3,
      "display",
      "cannot stand beside terminal = true: an application has a terminal, a display or neither",
    ],
    [
      "the key that says keep or replace now",
      'command = ["top"]\n[capture]\nkeep = false\n',
      3,
      "capture.keep",
      'is now policy = "keep" or "replace" in [keep]',
    ],
    [
      "a calendar expression",
      'command = ["top"]\n[capture]\ncalendar = "Someday 03:00"\n',
      3,
      "capture.calendar",
      /^"Someday 03:00" has "Someday", which is neither a weekday such as Mon nor one of minutely/,
    ],
    [
      "a schedule that would do nothing else",
      'command = ["top"]\n[capture]\nevery = "1s"\n',
      3,
      "capture.every",
      'must be at least "5s"',
    ],
    [
      "a size",
      'command = ["top"]\n[keep]\nbytes = 5000\n',
      3,
      "keep.bytes",
      "must be a string, not the number 5000",
    ],
    [
      "a rung of the ladder",
      'command = ["top"]\n[keep.ages]\nhourli = "1d"\n',
      3,
      "keep.ages.hourli",
      'is not a known key; did you mean "hourly"?',
    ],
    [
      "a rule",
      'command = ["top"]\n[recovery]\non-crash = ["newest", "oldest"]\n',
      3,
      "recovery.on-crash.1",
      /^has "oldest", which is no rule; rules are newest, newest-healthy, pinned, start, or a table/,
    ],
    [
      "a criterion",
      'command = ["top"]\n[recovery]\non-hang = [{ befor = "2m" }]\n',
      3,
      "recovery.on-hang.0",
      'has the criterion "befor"; criteria are healthy, before, label, pinned, trigger',
    ],
    [
      "a probe that is two",
      'command = ["top"]\n[health.probe.web]\ntcp = "127.0.0.1:80"\nhttp = "http://127.0.0.1/"\n',
      2,
      "health.probe.web",
      "must have exactly one of command, tcp, http, file",
    ],
    [
      "a key of a probe",
      'command = ["top"]\n[health.probe.web]\ntpc = "127.0.0.1:80"\n',
      3,
      "health.probe.web.tpc",
      'is not a known key; did you mean "tcp"?',
    ],
  ])("names line and key of %s", (_what, text, line, key, message) => {
    const problem = problemOf(text);
    expect(problem).toMatchObject({ line, key });
    expect(problem.message).toEqual(
      typeof message === "string" ? message : expect.stringMatching(message),
    );
  });

  it("says what is missing", () => {
    expect(problemOf('name = "X"\n')).toMatchObject({
      line: null,
      key: "command",
      message: expect.stringMatching(/^is missing: give the program/) as string,
    });
  });

  it("names the place of a syntax error", () => {
    expect(problemOf('command = ["top"]\nname = \n')).toMatchObject({
      line: 2,
      key: null,
      message: expect.stringMatching(/^is not valid TOML: /) as string,
    });
  });

  it("formats a problem for people", () => {
    expect(formatProblem(problemOf("command = 5\n"))).toBe(
      '/etc/torpor/apps.d/demo.toml, line 1, key "command": must be an array such as ["program", "argument"], not the number 5',
    );
  });

  it.each([
    "",
    "# nothing\n",
    "\u0000",
    "[[command]]\n",
    'command = [["a"]]\n',
    "[__proto__]\nx = 1\n",
    'command = ["a"]\nenv = 5\n',
  ])("refuses %j without throwing", (text) => {
    expect(problemOf(text).message).not.toBe("");
  });
});
