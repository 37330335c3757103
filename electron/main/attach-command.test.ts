import { expect, it } from "vitest";
import { attachCommand } from "./attach-command.js";

const runtime = { execPath: "/opt/torpor/torpor-panel", appFolder: "/opt/torpor/resources/app" };

it("runs the CLI with the panel's own runtime, and hands over no more of the environment than it needs", () => {
  const command = attachCommand("ward-board", runtime, {
    TORPOR_HOME: "/srv/torpor",
    LANG: "en_GB.UTF-8",
    SESSION_TOKEN: "not for others",
  });
  expect(command).toEqual({
    file: "/opt/torpor/torpor-panel",
    script: "/opt/torpor/resources/app/dist/cli/torpor.js",
    args: ["attach", "ward-board"],
    env: {
      TERM: "xterm-256color",
      COLORTERM: "truecolor",
      ELECTRON_RUN_AS_NODE: "1",
      NODE_NO_WARNINGS: "1",
      TORPOR_HOME: "/srv/torpor",
      LANG: "en_GB.UTF-8",
    },
  });
});
