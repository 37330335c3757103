/**
 * Runs torpor-helper: one process per operation, its output checked line by line, its end turned into
 * a result or a failure. The only place of the agent that starts processes.
 */
import { spawn, type ChildProcess } from "node:child_process";
import {
  describeFailure,
  FailureError,
  helperErrorSchema,
  helperProgressSchema,
  helperResultSchemas,
  LineReader,
  type Failure,
  type FailureCode,
  type HelperCommand,
  type HelperProgress,
  type HelperResult,
} from "../../contract/index.js";
import type { Logger } from "../log.js";
import type { HelperRegister } from "./helper-register.js";

export interface HelperCall<C extends HelperCommand> {
  readonly command: C;
  readonly args: readonly string[];
  /** What it reads from its standard input; nothing when left out. */
  readonly input?: string;
  readonly onProgress?: (progress: HelperProgress) => void;
  readonly signal?: AbortSignal;
  /** Ends the helper like a cancellation when it takes longer than it ever should. */
  readonly timeoutMs?: number;
}

/** Longest line of the helper's output: `show --memory` of a large tree. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** How long a cancelled helper may take to put everything back before it is killed. */
const CANCEL_GRACE_MS = 10_000;
/** How long after the helper's end its output may still arrive. */
const DRAIN_MS = 1000;
const KEPT_LOG_CHARACTERS = 4000;

const failureOfExitStatus: Readonly<Record<number, FailureCode>> = {
  2: "usage",
  3: "blocked",
  4: "damaged",
  5: "no-such-capsule",
  6: "resource",
  7: "not-permitted",
};

export class Helper {
  readonly path: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Logger;
  readonly #register: HelperRegister;

  constructor(path: string, environment: NodeJS.ProcessEnv, register: HelperRegister, log: Logger) {
    this.path = path;
    this.#register = register;
    this.#environment = environment;
    this.#log = log;
  }

  /** @throws FailureError with the helper's own error, or what became of the helper. */
  async call<C extends HelperCommand>(call: HelperCall<C>): Promise<HelperResult<C>> {
    if (call.signal?.aborted === true) {
      throw new FailureError(cancelled(call.command));
    }
    const child = spawn(this.path, call.args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: this.#environment,
      cwd: "/",
      // A group of its own: Ctrl-C on the agent's terminal must not hit a capture in the middle.
      detached: true,
    });
    // A helper that ends without having read it says why by itself.
    child.stdin.on("error", () => undefined).end(call.input ?? "");
    const startedAt = performance.now();
    const output = new HelperOutput(call);
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    let logText = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      logText = (logText + text).slice(-KEPT_LOG_CHARACTERS);
    });
    if (child.pid !== undefined) {
      this.#register.add(child.pid);
    }
    const canceller = new Canceller(child, call.signal, call.timeoutMs);
    let end: HelperEnd;
    try {
      end = await ended(child);
    } finally {
      canceller.dispose();
      if (child.pid !== undefined) {
        this.#register.remove(child.pid);
      }
    }
    this.#log.debug(
      {
        command: call.command,
        exitStatus: end.status,
        signal: end.signal,
        tookMs: Math.round(performance.now() - startedAt),
        ...(logText === "" ? {} : { helperLog: logText.trimEnd() }),
      },
      "helper ended",
    );
    return output.conclude(end, canceller, this.path, logText);
  }
}

interface HelperEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly spawnError: Error | null;
}

/** Waits for the process' end, and for its output unless something else still holds the pipe open. */
function ended(child: ChildProcess): Promise<HelperEnd> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      resolve({ status: null, signal: null, spawnError: error });
    });
    child.once("exit", (status, signal) => {
      const end: HelperEnd = { status, signal, spawnError: null };
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve(end);
      }, DRAIN_MS);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(end);
      });
    });
  });
}

class Canceller {
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  timedOut = false;

  constructor(child: ChildProcess, signal: AbortSignal | undefined, timeoutMs: number | undefined) {
    this.#child = child;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#cancel, { once: true });
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.timedOut = true;
        this.#cancel();
      }, timeoutMs);
    }
  }

  get wasCancelled(): boolean {
    return this.#signal?.aborted === true;
  }

  dispose(): void {
    this.#signal?.removeEventListener("abort", this.#cancel);
    clearTimeout(this.#timer);
    clearTimeout(this.#killTimer);
  }

  readonly #cancel = (): void => {
    this.#child.kill("SIGTERM");
    this.#killTimer = setTimeout(() => this.#child.kill("SIGKILL"), CANCEL_GRACE_MS);
  };
}

/** Collects what the helper prints and draws the conclusion. */
class HelperOutput<C extends HelperCommand> {
  readonly #call: HelperCall<C>;
  readonly #reader = new LineReader(MAX_LINE_BYTES);
  #last: unknown = null;
  #defect: string | null = null;

  constructor(call: HelperCall<C>) {
    this.#call = call;
  }

  push(chunk: Buffer): void {
    if (this.#defect !== null) {
      return;
    }
    try {
      for (const line of this.#reader.push(chunk)) {
        this.#line(line);
      }
    } catch (error) {
      this.#defect = error instanceof Error ? error.message : String(error);
    }
  }

  #line(line: string): void {
    if (line.trim() === "") {
      return;
    }
    const message: unknown = JSON.parse(line);
    const progress = helperProgressSchema.safeParse(message);
    if (progress.success) {
      this.#call.onProgress?.(progress.data);
    } else if (!isProgress(message)) {
      this.#last = message;
    }
  }

  conclude(
    end: HelperEnd,
    canceller: Canceller,
    helperPath: string,
    logText: string,
  ): HelperResult<C> {
    const { command } = this.#call;
    if (end.spawnError !== null) {
      throw new FailureError(
        describeFailure("resource", {
          happened: `The helper ${helperPath} can't be started: ${end.spawnError.message}.`,
          remedy: "Build or install it again.",
        }),
        { cause: end.spawnError },
      );
    }
    const error = helperErrorSchema.safeParse(this.#last);
    if (error.success) {
      throw new FailureError({
        // A command line that the helper refuses is the agent's mistake; but `run` carries the user's words.
        code: error.data.code === "usage" && command !== "run" ? "internal" : error.data.code,
        message: error.data.message,
        detail: {
          happened: error.data.message,
          blockers: error.data.blockers ?? undefined,
        },
      });
    }
    const result = helperResultSchemas[command].safeParse(this.#last);
    if (result.success && end.status === 0) {
      return result.data as HelperResult<C>;
    }
    throw new FailureError(
      this.#describeSilence(end, canceller, logText, result.error?.message ?? null),
    );
  }

  /** The helper ended without a result or an error that can be understood. */
  #describeSilence(
    end: HelperEnd,
    canceller: Canceller,
    logText: string,
    mismatch: string | null,
  ): Failure {
    const { command } = this.#call;
    if (canceller.timedOut) {
      return describeFailure("resource", {
        happened: `The helper's ${command} took longer than ${this.#call.timeoutMs ?? 0} ms and was ended.`,
      });
    }
    if (canceller.wasCancelled) {
      return cancelled(command);
    }
    const how =
      end.signal === null ? `with exit status ${end.status ?? "unknown"}` : `by ${end.signal}`;
    const reason =
      this.#defect ??
      (this.#last !== null && mismatch !== null
        ? `its last line is not what was agreed: ${mismatch}`
        : null) ??
      lastLine(logText);
    const code = failureOfExitStatus[end.status ?? -1] ?? "internal";
    return describeFailure(code, {
      happened: `The helper's ${command} ended ${how} without a result${reason === null ? "" : ` (${reason})`}.`,
    });
  }
}

function isProgress(message: unknown): boolean {
  return (
    typeof message === "object" &&
    message !== null &&
    "type" in message &&
    message.type === "progress"
  );
}

function lastLine(text: string): string | null {
  const lines = text.trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  return last === "" ? null : last;
}

function cancelled(command: string): Failure {
  return describeFailure("cancelled", { happened: `The ${command} was cancelled.` });
}
