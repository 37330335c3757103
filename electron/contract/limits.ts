/**
 * Every bound of the operator socket in one place. Both ends use them: the agent to refuse, the
 * clients to stay below.
 */

/** Raised when a client of an older panel or CLI could no longer talk to the agent. */
export const PROTOCOL_VERSION = 1;

/** Longest message, newline included, that the agent accepts. Terminal input is the longest there is. */
export const MAX_REQUEST_BYTES = 1024 * 1024;

/** Longest message that a client accepts. A `show` of a tree with many mappings is the longest there is. */
export const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

/** How many clients may be connected at once; the next one is told so and disconnected. */
export const MAX_CLIENTS = 64;

/** How many requests of one client may be unanswered at once. */
export const MAX_PENDING_REQUESTS = 64;

/** A client that leaves this much unread is disconnected, so that it can't fill the agent's memory. */
export const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/** Messages that could not be understood before the connection is closed as one that speaks something else. */
export const MAX_MALFORMED_MESSAGES = 8;

/** A connection that sends part of a message and then nothing is closed after this time. */
export const MESSAGE_TIMEOUT_MS = 30_000;

/** How many terminals one client may hold open. */
export const MAX_TERMINALS_PER_CLIENT = 32;

/** Longest payload of one terminal.input, before base64. */
export const MAX_TERMINAL_INPUT_BYTES = 256 * 1024;

/** How many displays one client may hold open. */
export const MAX_DISPLAYS_PER_CLIENT = 8;

/** Longest payload of one display.input, before base64. */
export const MAX_DISPLAY_INPUT_BYTES = 256 * 1024;

/** Longest picture of an image, before base64. */
export const MAX_PICTURE_BYTES = 8 * 1024 * 1024;

/** Longest label of an image, in UTF-16 units. */
export const MAX_LABEL_LENGTH = 200;

/** Longest remark on an image, in UTF-16 units. */
export const MAX_REMARK_LENGTH = 2000;

/** Largest terminal that may be asked for, in either direction. */
export const MAX_TERMINAL_SIDE = 1000;

/** Largest applications file that is read. */
export const MAX_APPLICATION_FILE_BYTES = 256 * 1024;

/** Longest grace between SIGTERM and SIGKILL that a stop may ask for. */
export const MAX_GRACE_MS = 10 * 60_000;

/** How long `operations.wait` waits at most before it answers with the operation as it is. */
export const MAX_WAIT_MS = 60_000;

/** Most records that a list method returns. */
export const MAX_LIST_LENGTH = 10_000;

/** Most images that build on one another, the complete one included; the image format's own bound. */
export const MAX_CHAIN_IMAGES = 16;
