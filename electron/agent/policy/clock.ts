/** Time as the policy sees it, so that a test can let hours pass in a moment. */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once, after so many milliseconds; the returned function takes that back. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** Longest time that Node's timers take; a longer wait is made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (milliseconds, callback) => {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMER_MS);
      timer = setTimeout(() => {
        if (left > step) {
          wait(left - step);
        } else {
          callback();
        }
      }, step);
    };
    wait(Math.max(0, milliseconds));
    return () => {
      clearTimeout(timer);
    };
  },
};
