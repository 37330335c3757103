/**
 * Tells when an application has been idle: nobody has typed into its terminal, and its processes have used
 * next to no processor time, for as long as its file says. Once for each such time.
 */
import type { Capsule } from "../capsules/capsule.js";
import { processorMs } from "../capsules/processor-time.js";

/** Of one processor; a program that only waits and redraws a clock stays below. */
const IDLE_SHARE = 0.02;
const SAMPLE_MS = 5000;
/** What a capture itself makes the application's processes do. */
const AFTER_CAPTURE_MS = 3000;

export class IdleMeter {
  readonly #capsule: Capsule;
  readonly #idleForMs: number;
  readonly #lastInputAt: () => number;
  #activeAt: number;
  #sampledAt: number;
  #sampledMs: number | null;
  #done = false;
  #ignoreUntil = 0;

  constructor(capsule: Capsule, idleForMs: number, now: number, lastInputAt: () => number) {
    this.#capsule = capsule;
    this.#idleForMs = idleForMs;
    this.#lastInputAt = lastInputAt;
    this.#activeAt = now;
    this.#sampledAt = now;
    this.#sampledMs = processorMs(capsule);
  }

  /** True once for each time of idleness, as soon as it has lasted long enough. */
  isDue(now: number): boolean {
    this.#sample(now);
    const since = Math.max(this.#activeAt, this.#lastInputAt());
    if (since > this.#activeAt) {
      this.#active(since);
    }
    if (this.#done || now - since < this.#idleForMs) {
      return false;
    }
    this.#done = true;
    return true;
  }

  /** The processor time of a capture is not the application's. */
  captured(now: number): void {
    this.#ignoreUntil = now + AFTER_CAPTURE_MS;
  }

  #sample(now: number): void {
    const elapsed = now - this.#sampledAt;
    if (elapsed < Math.min(SAMPLE_MS, this.#idleForMs / 2)) {
      return;
    }
    const used = processorMs(this.#capsule);
    // A process that has ended takes its time with it: less than before says nothing.
    const busy =
      used !== null && this.#sampledMs !== null && used - this.#sampledMs > elapsed * IDLE_SHARE;
    this.#sampledAt = now;
    this.#sampledMs = used;
    if (busy && now > this.#ignoreUntil) {
      this.#active(now);
    }
  }

  #active(at: number): void {
    this.#activeAt = at;
    this.#done = false;
  }
}
