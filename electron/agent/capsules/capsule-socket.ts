/** Connections to the sockets of a capsule's init, for clients of the operator socket. */
import { connect, type Socket } from "node:net";
import { fail } from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";

/** The client that is sent what a capsule's socket says. */
export interface CongestibleClient {
  /** True while the client reads too slowly to be sent more. */
  readonly congested: boolean;
  /** Calls back once when it has caught up. */
  onceDrained(callback: () => void): void;
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * The life whose terminal or display is asked for.
 * @throws FailureError `not-running` when the application does not run.
 */
export function lifeWith(what: "terminal" | "display", application: Application): RunningLife {
  return (
    application.life ??
    fail("not-running", {
      happened: `${application.title} does not run, so it has no ${what} now.`,
      remedy: application.remembered.state === "hibernated" ? "Wake it first." : "Start it first.",
      applicationId: application.id,
    })
  );
}

/**
 * Resolves once connected, with no listener left on the socket.
 * @throws when nothing listens there, or it has not accepted within 5 seconds.
 */
export function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error("it does not accept the connection"));
    }, CONNECT_TIMEOUT_MS);
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

/** Reads no more from the socket until the client has caught up. */
export function pauseWhileCongested(socket: Socket, client: CongestibleClient): void {
  if (client.congested && !socket.isPaused()) {
    socket.pause();
    client.onceDrained(() => socket.resume());
  }
}
