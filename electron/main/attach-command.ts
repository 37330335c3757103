// How the panel starts `torpor attach APP` on a terminal of its own: with the runtime that it runs on,
// so that no Node has to be installed beside it.
import path from "node:path";

export interface AttachCommand {
  readonly file: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What the attached terminal may know of the panel's environment. */
const PASSED_ON = ["HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PATH", "TORPOR_HOME"];

export function attachCommand(
  applicationId: string,
  runtime: { readonly execPath: string; readonly appFolder: string },
  environment: Readonly<Record<string, string | undefined>>,
): AttachCommand {
  const env: Record<string, string> = {
    TERM: "xterm-256color",
    COLORTERM: "truecolor",
    ELECTRON_RUN_AS_NODE: "1",
    // The panel shows how the application ended itself; a deprecation in the runtime is not its words.
    NODE_NO_WARNINGS: "1",
  };
  for (const name of PASSED_ON) {
    const value = environment[name];
    if (value !== undefined) env[name] = value;
  }
  return {
    file: runtime.execPath,
    script: path.join(runtime.appFolder, "dist/cli/torpor.js"),
    args: ["attach", applicationId],
    env,
  };
}
