import { describe, expect, it } from "vitest";
import { parseKey } from "./key-name.js";
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
