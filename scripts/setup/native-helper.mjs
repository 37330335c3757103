// The helper's release build. Cargo itself knows what is up to date, and says so in a moment.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { hasProgram, outputOf, run } from "../command.mjs";
import { checkout, helperPath } from "../paths.mjs";
import { Setback } from "../setback.mjs";

/** The oldest compiler that the workspace builds with; see native-helpers/Cargo.toml. */
const oldestRust = [1, 88];

/** @param {(text: string) => void} say */
export async function buildNativeHelper(say) {
  if (process.env.TORPOR_HELPER !== undefined) {
    if (existsSync(helperPath)) return;
    throw new Setback(
      `TORPOR_HELPER names a file that is not there: ${helperPath}`,
      "Unset it to have the helper built from native-helpers/.",
    );
  }
  if (!hasProgram("cargo")) {
    throw new Setback(
      "Rust's cargo is not on the path, and the helper is built with it",
      "Install a Rust toolchain (rustup is the usual way), open a new shell, then start again.",
    );
  }
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(outputOf(["cargo", "--version"]) ?? "") ?? [])
    .slice(1)
    .map(Number);
  if (major === 1 && minor < (oldestRust[1] ?? 0)) {
    throw new Setback(
      `cargo ${major}.${minor} is too old: the helper needs ${oldestRust.join(".")} or later`,
      "Update it (rustup update stable), then start again.",
    );
  }

  let compiling = false;
  const result = await run(["cargo", "build", "--release", "--locked"], {
    cwd: join(checkout, "native-helpers"),
    timeLimitSeconds: 1800,
    onLine: (line) => {
      if (compiling || !line.includes("Compiling")) return;
      compiling = true;
      say("building the helper (a few minutes the first time)");
    },
  });
  if (result.status !== 0 || !existsSync(helperPath)) {
    throw new Setback(
      result.timedOut ? "building the helper took too long" : "the helper could not be built",
      "The compiler's last lines are above. To see all of them: cargo build --release --manifest-path native-helpers/Cargo.toml",
      result.tail,
    );
  }
}
