/** Finds the helper's binary, and says how to get it when there is none. */
import { accessSync, constants } from "node:fs";
import { join, resolve } from "node:path";
import { fail } from "../../contract/index.js";

/**
 * In this order: TORPOR_HELPER, beside an installed agent, in a checkout.
 * @throws FailureError with code `resource`.
 */
export function findHelper(environment: NodeJS.ProcessEnv, agentFolder: string): string {
  const setting = environment.TORPOR_HELPER;
  if (setting !== undefined && setting !== "") {
    const path = resolve(setting);
    if (isExecutable(path)) {
      return path;
    }
    fail("resource", {
      happened: `TORPOR_HELPER names ${path}, which can't be executed.`,
      remedy: "Set it to the torpor-helper binary, or unset it.",
    });
  }
  const candidates = [
    // A package puts the helper beside the agent's bundle.
    join(agentFolder, "torpor-helper"),
    // dist/agent in a checkout.
    resolve(agentFolder, "../../native-helpers/target/release/torpor-helper"),
  ];
  const found = candidates.find(isExecutable);
  if (found !== undefined) {
    return found;
  }
  return fail("resource", {
    happened: `The helper is not there: looked for ${candidates.join(" and ")}.`,
    remedy: 'Build it with "cargo build --release" in native-helpers, or name it in TORPOR_HELPER.',
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
