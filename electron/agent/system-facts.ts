/** What the agent knows of itself and the machine, for `system.info`. */
import { arch, hostname, release } from "node:os";
import { PROTOCOL_VERSION, type StoreRecord, type SystemInfo } from "../contract/index.js";
import type { TorporPaths } from "../contract/paths.js";
import { currentBootId } from "./capsules/process-identity.js";

export class SystemFacts {
  readonly #paths: TorporPaths;
  readonly #helperPath: string;
  readonly #version: string;
  readonly #startedAt = new Date(performance.timeOrigin).toISOString();
  #readyMs = 0;

  constructor(paths: TorporPaths, helperPath: string, version: string) {
    this.#paths = paths;
    this.#helperPath = helperPath;
    this.#version = version;
  }

  /** The moment at which the socket answers; returns the time since the process' start. */
  markReady(): number {
    this.#readyMs = performance.now();
    return this.#readyMs;
  }

  describe(stores: StoreRecord[]): SystemInfo {
    return {
      version: this.#version,
      protocolVersion: PROTOCOL_VERSION,
      pid: process.pid,
      startedAt: this.#startedAt,
      readyMs: this.#readyMs,
      home: this.#paths.home,
      applicationsFolder: this.#paths.applicationsFolder,
      libFolder: this.#paths.libFolder,
      runFolder: this.#paths.runFolder,
      helperPath: this.#helperPath,
      kernel: release(),
      arch: arch() === "x64" ? "x86_64" : arch() === "arm64" ? "aarch64" : arch(),
      hostname: hostname(),
      bootId: currentBootId(),
      stores,
    };
  }
}
