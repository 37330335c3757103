import { describe, expect, it } from "vitest";
import { KeyPositions } from "./key-positions.js";

const text = `# a comment with key = 1
name = "a # b"
command = [
  "x", # ]
  "]",
]
a.b.c = 'lit\\'
text = """
fake = 1
"""

[ env ]
"with space" = "1"
LANG = "C"
[capture]
compress = { kind = "x" }
`;

describe("KeyPositions", () => {
  const positions = new KeyPositions(text);

  it.each([
    [["name"], 2],
    [["command"], 3],
    [["command", 1], 3],
    [["a", "b", "c"], 7],
    [["text"], 8],
    [["env"], 12],
    [["env", "with space"], 13],
    [["env", "LANG"], 14],
    [["capture", "compress"], 16],
    [["capture", "compress", "kind"], 16],
  ])("finds %j on line %i", (path, line) => {
    expect(positions.find(path)).toMatchObject({ line, column: 1 });
  });

  it("knows no key that only looks like one", () => {
    expect(positions.find(["fake"])).toBeNull();
  });
});
