/** What can go wrong beside a capture itself, which is an outcome and no error. */

/** The connection was lost, and the agent could not be found again in time. */
export class AgentUnreachableError extends Error {
  override readonly name = "AgentUnreachableError";
}

/** The agent refused the request; `code` is one of docs/protocol.md. */
export class RequestRefusedError extends Error {
  override readonly name = "RequestRefusedError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** End of the connection: perhaps this is a later life. Never leaves this package. */
export class ConnectionLostError extends Error {
  override readonly name = "ConnectionLostError";
}

/** Not in a capsule, or nobody listens. Never leaves this package. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}
