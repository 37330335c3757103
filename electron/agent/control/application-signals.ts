/**
 * What applications have said of themselves over their control sockets: that they are alive, that their
 * start-up is finished, that now is not the time for a capture. Supervision, schedules and captures ask
 * here. All of it belongs to one life, named by its capsule, and is forgotten with it: an application
 * that was put back to an earlier point has not said anything yet.
 */
import { randomBytes } from "node:crypto";
import type { CapsuleId } from "../../contract/index.js";

/** "Not now": a capture that is not forced waits for its end, or is refused with its reason. */
export interface Inhibition {
  readonly token: string;
  readonly reason: string;
  /** Both as `Date.now()` tells the time. */
  readonly beganAt: number;
  readonly endsAt: number;
}

interface LifeSignals {
  /** `performance.now()` of the agent, which no change of the machine's clock moves. */
  heartbeatAt: number | null;
  heartbeats: number;
  readyAt: number | null;
  readonly inhibitions: Map<string, { inhibition: Inhibition; timer: NodeJS.Timeout }>;
}

export type SignalListener = (capsule: CapsuleId) => void;

export class ApplicationSignals {
  readonly #lives = new Map<CapsuleId, LifeSignals>();
  readonly #readyListeners = new Set<SignalListener>();
  readonly #heartbeatListeners = new Set<SignalListener>();
  readonly #allowedListeners = new Set<SignalListener>();

  heartbeat(capsule: CapsuleId): void {
    const life = this.#obtain(capsule);
    life.heartbeatAt = performance.now();
    life.heartbeats += 1;
    tell(this.#heartbeatListeners, capsule);
  }

  /**
   * When it last said that it is alive: milliseconds ago, and how often so far. Null for a life that has
   * never said so; one that has never begun can't be told from one that doesn't know how.
   */
  lastHeartbeat(capsule: CapsuleId): { agoMs: number; count: number } | null {
    const life = this.#lives.get(capsule);
    return life === undefined || life.heartbeatAt === null
      ? null
      : { agoMs: performance.now() - life.heartbeatAt, count: life.heartbeats };
  }

  /** Its start-up is finished. A second time in the same life changes nothing. */
  ready(capsule: CapsuleId): void {
    const life = this.#obtain(capsule);
    if (life.readyAt === null) {
      life.readyAt = Date.now();
      tell(this.#readyListeners, capsule);
    }
  }

  isReady(capsule: CapsuleId): boolean {
    return typeof this.#lives.get(capsule)?.readyAt === "number";
  }

  /** Ends by {@link allow}, when the time is up, or with the life; not with the connection that asked. */
  inhibit(capsule: CapsuleId, reason: string, timeoutMs: number): Inhibition {
    const life = this.#obtain(capsule);
    const beganAt = Date.now();
    const token = randomBytes(8).toString("hex");
    const inhibition = { token, reason, beganAt, endsAt: beganAt + timeoutMs };
    const timer = setTimeout(() => {
      this.allow(capsule, token);
    }, timeoutMs);
    timer.unref();
    life.inhibitions.set(token, { inhibition, timer });
    return inhibition;
  }

  /** False when there is no such inhibition (any more). */
  allow(capsule: CapsuleId, token: string): boolean {
    const inhibitions = this.#lives.get(capsule)?.inhibitions;
    const found = inhibitions?.get(token);
    if (inhibitions === undefined || found === undefined) {
      return false;
    }
    clearTimeout(found.timer);
    inhibitions.delete(token);
    if (inhibitions.size === 0) {
      tell(this.#allowedListeners, capsule);
    }
    return true;
  }

  /** Those in force, the oldest first; empty when a capture may be taken. */
  inhibitions(capsule: CapsuleId): readonly Inhibition[] {
    return [...(this.#lives.get(capsule)?.inhibitions.values() ?? [])].map(
      ({ inhibition }) => inhibition,
    );
  }

  /** True as soon as nothing inhibits a capture (or the life has ended), false when the time is up first. */
  async whenAllowed(capsule: CapsuleId, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.inhibitions(capsule).length === 0) {
      return true;
    }
    return new Promise((resolve) => {
      const end = (allowed: boolean): void => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener("abort", giveUp);
        resolve(allowed);
      };
      const giveUp = (): void => {
        end(false);
      };
      const timer = setTimeout(giveUp, timeoutMs);
      const stop = this.onAllowed((id) => {
        if (id === capsule) {
          end(true);
        }
      });
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** Called with each first `ready` of a life. Returns what ends that. */
  onReady(listener: SignalListener): () => void {
    return add(this.#readyListeners, listener);
  }

  onHeartbeat(listener: SignalListener): () => void {
    return add(this.#heartbeatListeners, listener);
  }

  /** Called when the last inhibition of a life has ended, in whichever way. */
  onAllowed(listener: SignalListener): () => void {
    return add(this.#allowedListeners, listener);
  }

  /** The life has ended. */
  forget(capsule: CapsuleId): void {
    const life = this.#lives.get(capsule);
    this.#lives.delete(capsule);
    if (life === undefined || life.inhibitions.size === 0) {
      return;
    }
    for (const { timer } of life.inhibitions.values()) {
      clearTimeout(timer);
    }
    tell(this.#allowedListeners, capsule);
  }

  #obtain(capsule: CapsuleId): LifeSignals {
    const known = this.#lives.get(capsule);
    if (known !== undefined) {
      return known;
    }
    const life = { heartbeatAt: null, heartbeats: 0, readyAt: null, inhibitions: new Map() };
    this.#lives.set(capsule, life);
    return life;
  }
}

function add(listeners: Set<SignalListener>, listener: SignalListener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(listeners: ReadonlySet<SignalListener>, capsule: CapsuleId): void {
  for (const listener of [...listeners]) {
    listener(capsule);
  }
}
