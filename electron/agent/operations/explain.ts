/**
 * Puts a failure of the helper or the file system into an admin's words: what was tried with which
 * application, what is still as it was, what to do.
 */
import {
  describeFailure,
  FailureError,
  toFailure,
  type Failure,
  type FailureCode,
  type FailureDetail,
} from "../../contract/index.js";

const remedies: Partial<Record<FailureCode, string>> = {
  blocked: "Have the application close what is named, or wait until it has, and try again.",
  damaged: "Restore another image; verify the others to find out which are whole.",
  foreign: "The file is not a boot image of Torpor: restore another image.",
  incompatible: "Restore it on a machine like the one it was taken on, or restore another image.",
  "parent-missing": "Bring back the image that it builds on, or restore another image.",
  "no-room": "Delete or move images, or add a store on a larger volume, and try again.",
  "not-permitted": 'The agent lacks a right that is needed: run "torpor doctor" to see which.',
  resource: 'Run "torpor doctor" to see what this machine lacks.',
};

export interface Explanation {
  /** "Restoring "Ward board" from image 1f2e3d4c failed" */
  readonly happened: string;
  readonly unchanged: string;
  readonly about?: Pick<FailureDetail, "applicationId" | "imageId">;
}

/** The same failure with the application and the consequences in it. */
export function explain(error: unknown, explanation: Explanation): FailureError {
  const failure = fileSystemFailure(error) ?? toFailure(error);
  const reason = failure.detail?.happened ?? failure.message;
  const happened =
    failure.code === "cancelled"
      ? `${explanation.happened.replace(/ failed$/, "")} was cancelled.`
      : `${explanation.happened}: ${sentence(reason)}`;
  const remedy = failure.detail?.remedy ?? remedies[failure.code];
  return new FailureError(
    describeFailure(failure.code, {
      ...failure.detail,
      ...explanation.about,
      happened,
      unchanged: explanation.unchanged,
      ...(remedy === undefined || failure.code === "cancelled" ? {} : { remedy }),
    }),
    { cause: error },
  );
}

/** Errors of the file system that an admin can do something about; null for all others. */
function fileSystemFailure(error: unknown): Failure | null {
  if (!(error instanceof Error) || !("code" in error)) {
    return null;
  }
  switch (error.code) {
    case "ENOSPC":
    case "EDQUOT":
      return describeFailure("no-room", { happened: "there is no room left on the volume" });
    case "EROFS":
      return describeFailure("store-unusable", {
        happened: "the volume is mounted read-only",
        remedy: "Mount it writable and try again.",
      });
    case "EEXIST":
      return describeFailure("in-use", {
        happened: "there is already a file of that name",
        remedy: "Move that file away and try again.",
      });
    case "ENOENT":
    case "ENOTDIR":
    case "EIO":
    case "EACCES":
    case "EPERM":
      return describeFailure("store-unusable", { happened: error.message });
    default:
      return null;
  }
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
