import { describe, expect, it } from "vitest";
import { editorCommand } from "./editor.js";
import { parseKey } from "./key-name.js";
import { nearest } from "./nearest.js";
import { outline } from "./outline.js";
import { Output } from "./output.js";
import { milliseconds, size } from "./quantities.js";
import { reportFailure } from "./report-failure.js";
import { textTable } from "./text-table.js";

describe("size", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [200 * 1024 * 1024, "200 MiB"],
    [1.5 * 1024 ** 3, "1.5 GiB"],
  ])("writes %d as %s", (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });
});

it("writes milliseconds", () => {
  expect([milliseconds(3.14), milliseconds(123.4), milliseconds(2500), milliseconds(null)]).toEqual(
    ["3.1 ms", "123 ms", "2.50 s", "–"],
  );
});

it("aligns columns, also with wide characters", () => {
  expect(
    textTable(
      [{ title: "A" }, { title: "N", align: "right" }, { title: "B" }],
      [
        ["日本", "5", "x"],
        ["ab", "1000", ""],
      ],
    ),
  ).toEqual(["A        N  B", "日本     5  x", "ab    1000"]);
});

describe("in a narrow terminal", () => {
  const columns = [
    { title: "ID" },
    { title: "NAME", shrinks: true },
    { title: "FILE", leaves: 2 },
    { title: "PAUSE", leaves: 1 },
  ];
  const rows = [
    ["a", "the night shift of ward three", "17 MiB", "4 ms"],
    ["b", "日本日本日本日本日本", "1 MiB", "5 ms"],
  ];
  const table = (width: number | null): string[] => textTable(columns, rows, width);

  it("cuts what may be cut, and only as far as is needed", () => {
    expect(table(38)).toEqual([
      "ID  NAME                 FILE    PAUSE",
      "a   the night shift of…  17 MiB  4 ms",
      "b   日本日本日本日本日…  1 MiB   5 ms",
    ]);
  });

  it("then leaves columns out, the least important ones first", () => {
    expect(table(26)[1]).toBe("a   the night s…  17 MiB");
    expect(table(18)[1]).toBe("a   the night s…");
  });

  it("does neither where the output goes to a file or a pipe", () => {
    expect(table(null)[1]).toBe("a   the night shift of ward three  17 MiB  4 ms");
  });
});

it.each([
  ["strat", "start"],
  ["hibernat", "hibernate"],
  ["nonsense", null],
  ["x", null],
])("takes %s for %s", (typed, meant) => {
  expect(nearest(typed, ["start", "stop", "hibernate", "wake"])).toBe(meant);
});

it("finds the editor that the environment names, and one that is there", () => {
  expect(editorCommand({ EDITOR: "nano -w", VISUAL: "code --wait" })).toEqual(["code", "--wait"]);
  expect(editorCommand({ EDITOR: "nano -w" })).toEqual(["nano", "-w"]);
  expect(() => editorCommand({ PATH: "/nonexistent" })).toThrow("There is no editor.");
});

it("reads the names of keys", () => {
  expect([parseKey("ctrl-]"), parseKey("^A"), parseKey("none")]).toEqual([
    { code: 0x1d },
    { code: 1 },
    null,
  ]);
  expect(() => parseKey("f1")).toThrow("is not a key that can detach");
});

it("outlines any value and lets no name act on the terminal", () => {
  expect(outline({ name: "a\u001b[2J", list: [{ pid: 1, comm: "x" }], plain: [1, 2] })).toEqual([
    "name: a\\x1b[2J",
    "list:",
    "  - pid=1  comm=x",
    "plain: 1 2",
  ]);
});

class Sink {
  text = "";
  readonly isTTY: boolean;
  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }
  write(text: string): boolean {
    this.text += text;
    return true;
  }
}

describe("Output", () => {
  it("colours only terminals, and none with NO_COLOR", () => {
    const styled = (isTTY: boolean, environment: NodeJS.ProcessEnv): string =>
      new Output({ json: false, out: new Sink(isTTY), error: new Sink(isTTY), environment }).style(
        "red",
        "x",
      );
    expect(styled(true, {})).toBe("\x1b[31mx\x1b[0m");
    expect(styled(false, {})).toBe("x");
    expect(styled(true, { NO_COLOR: "1" })).toBe("x");
  });

  it("says a failure in its parts, and as data with --json", () => {
    const failure = {
      code: "blocked" as const,
      message: "all of it",
      detail: {
        happened: "Capturing failed.",
        unchanged: "It runs on.",
        remedy: "Close it.",
        blockers: [
          {
            code: "socket",
            pid: 7,
            comm: "nc",
            subject: "fd 3",
            message: "a connection",
            remedy: null,
          },
        ],
      },
    };
    const [out, error] = [new Sink(false), new Sink(false)];
    expect(reportFailure(new Output({ json: false, out, error, environment: {} }), failure)).toBe(
      3,
    );
    expect(error.text).toBe(
      "torpor: Capturing failed.\n  - process 7 (nc), fd 3: a connection\n        It runs on.\n        Close it.\n",
    );
    reportFailure(new Output({ json: true, out, error, environment: {} }), failure);
    expect(JSON.parse(out.text)).toEqual({ error: failure });
  });
});
