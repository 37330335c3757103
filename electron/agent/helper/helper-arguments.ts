/** The helper's command lines, built from what an operation wants. */
import type { ChangedFiles, Compression, ImageSection, Surface } from "../../contract/index.js";

/** The most that the helper's --rate takes, in MB (1,000,000 bytes) a second. */
const MAX_RATE_MB = 100_000;

export interface RunRequest {
  readonly capsuleId: string;
  readonly surface: Surface;
  readonly user: string | null;
  readonly cwd: string | null;
  readonly command: readonly string[];
}

export interface CaptureRequest {
  readonly capsuleId: string;
  readonly image: string;
  readonly stop: boolean;
  readonly compress: Compression;
  /** Bytes a second; only a capture that leaves the application running can be slow. */
  readonly rate: number | null;
  readonly parent: string | null;
  /** The next image is to build on this one: the kernel notes from now on what is written. */
  readonly track: boolean;
  /** Written into the image, so that the catalog can be rebuilt from it. */
  readonly meta: Readonly<Record<string, string>>;
}

export function runArguments(request: RunRequest): string[] {
  const { surface } = request;
  return [
    "run",
    "--capsule",
    request.capsuleId,
    ...(surface.kind === "terminal" ? ["--tty"] : []),
    ...(surface.kind === "display" ? ["--display", `${surface.width}x${surface.height}`] : []),
    ...(request.user === null ? [] : ["--user", request.user]),
    ...(request.cwd === null ? [] : ["--cwd", request.cwd]),
    "--env-from",
    "-",
    "--",
    ...request.command,
  ];
}

/** What `--env-from -` reads: a command line is seen by every user, the standard input is not. */
export function environmentInput(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${value}\0`)
    .join("");
}

export function captureArguments(request: CaptureRequest): string[] {
  return [
    "capture",
    "--capsule",
    request.capsuleId,
    "--image",
    request.image,
    ...(request.stop ? ["--stop"] : []),
    ...(request.parent === null ? [] : ["--parent", request.parent]),
    ...(request.track ? ["--track"] : []),
    ...(request.compress === "none" ? [] : ["--compress", request.compress]),
    ...(request.rate === null || request.stop
      ? []
      : ["--rate", String(Math.min(Math.ceil(request.rate / 1e6), MAX_RATE_MB))]),
    ...Object.entries(request.meta).flatMap(([key, value]) => ["--meta", `${key}=${value}`]),
  ];
}

export function restoreArguments(
  image: string,
  capsuleId: string,
  changedFiles: ChangedFiles,
): string[] {
  return ["restore", "--image", image, "--capsule", capsuleId, "--changed-files", changedFiles];
}

export function inspectArguments(target: { capsuleId: string } | { pid: number }): string[] {
  return "capsuleId" in target
    ? ["inspect", "--capsule", target.capsuleId]
    : ["inspect", "--pid", String(target.pid)];
}

export function showArguments(image: string, sections: readonly ImageSection[]): string[] {
  return ["show", "--image", image, ...sections.map((section) => `--${section}`)];
}

export function pictureArguments(image: string, file: string): string[] {
  return ["show", "--image", image, "--picture", file];
}

export function verifyArguments(image: string): string[] {
  return ["verify", "--image", image];
}

/** The complete image is written beside the original, to take its place. */
export function flattenArguments(image: string, output: string): string[] {
  return ["flatten", "--image", image, "--output", output, "--keep-id"];
}
