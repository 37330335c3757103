/**
 * Every bound of the control socket. An application may have defects, or mean harm: whatever it sends,
 * the agent holds little of it, and the other applications notice nothing.
 */

/** Raised when a client of an older application could no longer talk to the agent. */
export const CONTROL_PROTOCOL_VERSION = 1;

/** Longest message in either direction, newline included. */
export const MAX_CONTROL_MESSAGE_BYTES = 64 * 1024;

/** How many connections one capsule may have open; the next one is told so and closed. */
export const MAX_CONTROL_CONNECTIONS = 64;

/** How many requests of one connection may be unanswered; one more closes it. */
export const MAX_CONTROL_PENDING = 32;

/** Requests a second of one capsule that are answered at once; what comes faster is read more slowly. */
export const CONTROL_REQUESTS_PER_SECOND = 2000;

/** Requests that may come at once before that rate counts. */
export const CONTROL_REQUEST_BURST = 4000;

/** A connection that leaves this much unread is closed. */
export const MAX_CONTROL_UNREAD_BYTES = 256 * 1024;

/** Messages that are no requests, after which a connection is closed. */
export const MAX_CONTROL_MALFORMED = 8;

/** A message that was begun must end within this time. */
export const CONTROL_MESSAGE_TIMEOUT_MS = 10_000;

/** Checkpoints of one application that may wait for their turn. */
export const MAX_WAITING_CHECKPOINTS = 32;

/** How long a checkpoint waits at most for its turn: for other operations and for inhibitions. */
export const CHECKPOINT_WAIT_MS = 5 * 60_000;

/** Tickets of one application whose outcome is remembered beside those that images carry. */
export const MAX_REMEMBERED_TICKETS = 1000;

/** Inhibitions of one application that may be in force at once. */
export const MAX_INHIBITIONS = 64;

/** Longest time of one inhibition. */
export const MAX_INHIBIT_MS = 10 * 60_000;

/** Longest reason of an inhibition, in UTF-16 units. */
export const MAX_REASON_LENGTH = 200;

/** How long a capture waits for the subscribers that have been told of it to say `proceed`. */
export const PROCEED_TIMEOUT_MS = 2000;

/** Most images that `images` tells of. */
export const MAX_CONTROL_IMAGES = 100;
