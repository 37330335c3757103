// Which actions an application takes in which state, and why not where it doesn't: a button that can't be
// used says so.
import type { ApplicationRecord } from "../../../electron/contract/application.js";

export type ApplicationAction = "start" | "stop" | "capture" | "hibernate" | "wake";

/** Null: it can be done. Otherwise the reason that it can't be. */
export type Availability = Readonly<Record<ApplicationAction, string | null>>;

type Facts = Pick<
  ApplicationRecord,
  "state" | "configProblem" | "operationId" | "hibernatedImageId"
>;

export function availableActions(application: Facts, connected: boolean): Availability {
  const forAll = !connected
    ? "The agent can’t be reached"
    : application.operationId !== null || isBetweenStates(application)
      ? "An operation is running"
      : null;
  if (forAll !== null) return every(forAll);
  const running = application.state === "running";
  const notRunning = running ? null : "It is not running";
  return {
    start: running
      ? "It is running"
      : application.configProblem !== null
        ? "Its file has an error"
        : null,
    stop: notRunning,
    capture: notRunning,
    hibernate: notRunning,
    wake: running
      ? "It is running"
      : application.hibernatedImageId === null
        ? "It was not hibernated"
        : null,
  };
}

/** The one that is most likely meant; it gets the eye. */
export function primaryAction(application: Facts): ApplicationAction | null {
  if (application.state === "running") return "capture";
  if (isBetweenStates(application)) return null;
  return application.hibernatedImageId === null ? "start" : "wake";
}

function isBetweenStates({ state }: Facts): boolean {
  return (
    state === "starting" ||
    state === "capturing" ||
    state === "hibernating" ||
    state === "restoring" ||
    state === "stopping"
  );
}

function every(reason: string): Availability {
  return { start: reason, stop: reason, capture: reason, hibernate: reason, wake: reason };
}
