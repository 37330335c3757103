// What happened to an application, and what was done about it, as people say it.
import type { Occurrence, OccurrenceRecord } from "../../electron/contract/occurrence.js";
import { shortId } from "./application-words.js";

export const OCCURRENCE_WORDS: Readonly<Record<Occurrence, string>> = {
  operator: "Operator",
  application: "Application asked",
  crash: "Crash",
  hang: "Hang",
  "start-up": "Start-up",
  "power-loss": "Power loss",
  "agent-failure": "Agent failure",
};

/** "Restored image 1f2e3d4c", or "Waits to restore …" while it has not been done yet. */
export function actionInWords({
  decision,
  state,
}: Pick<OccurrenceRecord, "decision" | "state">): string {
  const image = `image ${shortId(decision.imageId ?? "")}`;
  switch (decision.action) {
    case "restore":
      return {
        waiting: `Waits to restore ${image}`,
        acting: `Restoring ${image}`,
        done: `Restored ${image}`,
        failed: `Could not restore ${image}`,
        superseded: `Did not restore ${image}`,
      }[state];
    case "start":
      return {
        waiting: "Waits to start cleanly",
        acting: "Starting cleanly",
        done: "Started cleanly",
        failed: "Could not start cleanly",
        superseded: "Did not start cleanly",
      }[state];
    case "nothing":
      return "Nothing was done";
    case "give-up":
      return "Given up";
  }
}
