// How long to wait before the next attempt to reach the agent: at once at first, since it is usually
// just being restarted, then ever longer, so that a panel left open costs nothing.

const FIRST_MS = 250;
const LONGEST_MS = 10_000;

/** The wait before attempt number `attempt` (the first one that follows a loss is 1). */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(16, Math.max(0, attempt - 1)));
}
