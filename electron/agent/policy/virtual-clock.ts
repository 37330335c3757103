/** A clock for tests: time passes only when it is told to, and then at once. */
import type { Clock } from "./clock.js";

interface Alarm {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #alarms = new Set<Alarm>();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  /** How many callbacks wait: what a test for leaks looks at. */
  get waiting(): number {
    return this.#alarms.size;
  }

  after(milliseconds: number, callback: () => void): () => void {
    this.#order += 1;
    const alarm = { at: this.#now + Math.max(0, milliseconds), order: this.#order, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Lets so much time pass; what comes due meanwhile is called in its order, and given time to work. */
  async pass(milliseconds: number): Promise<void> {
    const until = this.#now + milliseconds;
    await settle();
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#alarms.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = until;
  }

  /** The machine sleeps: time goes on, and nothing is called before it wakes. */
  sleep(milliseconds: number): void {
    this.#now += milliseconds;
  }

  #next(until: number): Alarm | undefined {
    return [...this.#alarms]
      .filter(({ at }) => at <= until)
      .sort((a, b) => a.at - b.at || a.order - b.order)[0];
  }
}

/** Lets everything run that needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
