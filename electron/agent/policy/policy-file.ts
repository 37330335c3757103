/**
 * Reads and changes the policy in an application's file. The file stays the truth: it is changed as text,
 * so comments in it survive, and it is checked before it is written.
 *
 * An operator may change when images are taken, which are kept and how the application comes back, but not
 * what runs as whom: that would make everybody who may open the socket root.
 */
import { createHash, randomBytes } from "node:crypto";
import { chownSync, constants, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join, basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  fail,
  MAX_APPLICATION_FILE_BYTES,
  type ApplicationConfig,
  type PolicyFile,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import { formatProblem, readApplicationText } from "../applications/application-file.js";
import { syncFolder } from "../stores/move-file.js";

/** @throws FailureError when there is no such file, or it can't be read. */
export function readPolicyFile(application: Application): PolicyFile {
  const { file } = application;
  try {
    const { size } = statSync(file);
    if (size > MAX_APPLICATION_FILE_BYTES) {
      throw new Error(`it has ${size} bytes`);
    }
    const text = readFileSync(file, "utf8");
    return { file, text, revision: revisionOf(text) };
  } catch (error) {
    return fail("failed-to-load", {
      happened: `The file of ${application.title} can't be read: ${error instanceof Error ? error.message : String(error)}.`,
      applicationId: application.id,
    });
  }
}

/** @throws FailureError when the text is no valid file, changes more than policy, or is outdated. */
export async function savePolicyFile(
  application: Application,
  text: string,
  revision: string,
): Promise<PolicyFile> {
  const current = readPolicyFile(application);
  const unchanged = "The file is as it was.";
  if (current.revision !== revision) {
    fail("in-use", {
      happened: `${current.file} was changed by somebody else meanwhile.`,
      unchanged,
      remedy: "Read it again, and make your change in that.",
      applicationId: application.id,
    });
  }
  const wanted = readApplicationText(current.file, text);
  if (!wanted.ok) {
    return fail("failed-to-load", {
      happened: formatProblem(wanted.problem).replace(/[^.?!]$/, "$&."),
      unchanged,
      applicationId: application.id,
      ...(wanted.problem.key === null ? {} : { key: wanted.problem.key }),
    });
  }
  const now = readApplicationText(current.file, current.text);
  const before = now.ok ? now.config : application.config;
  const touched = before === null ? ["command"] : beyondPolicy(before, wanted.config);
  if (touched.length > 0) {
    fail("not-permitted", {
      happened: `${touched.join(", ")} in ${current.file} can't be changed here: that says what runs as whom.`,
      unchanged,
      remedy: "Change it in the file itself, as root.",
      applicationId: application.id,
      key: touched[0],
    });
  }
  await replaceFile(current.file, text);
  return { file: current.file, text, revision: revisionOf(text) };
}

function revisionOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** With the others it is said how an application is called, started by itself and ended: no right is gained. */
const policyKeys = new Set([
  "capture",
  "restore",
  "keep",
  "recovery",
  "health",
  "name",
  "order",
  "start",
  "stop-grace",
]);

/** Keys that differ and are no policy; the commands of probes are among them, for they are run. */
function beyondPolicy(before: ApplicationConfig, after: ApplicationConfig): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const touched = [...keys].filter(
    (key) =>
      !policyKeys.has(key) &&
      !isDeepStrictEqual(
        before[key as keyof ApplicationConfig],
        after[key as keyof ApplicationConfig],
      ),
  );
  const known = new Map(
    Object.entries(before.health.probe).map(([name, { command }]) => [name, command]),
  );
  for (const [name, { command }] of Object.entries(after.health.probe)) {
    if (command !== undefined && !isDeepStrictEqual(known.get(name), command)) {
      touched.push(`health.probe.${name}.command`);
    }
  }
  return touched;
}

/** Whole or not at all; owner and mode stay. */
async function replaceFile(file: string, text: string): Promise<void> {
  const { mode, uid, gid } = statSync(file);
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(4).toString("hex")}`);
  try {
    const handle = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode & 0o777,
    );
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    chownSync(temporary, uid, gid);
    renameSync(temporary, file);
    await syncFolder(dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
