/**
 * Starts what is marked start = "auto" when the agent starts: wakes what is hibernated, starts the rest
 * cleanly, one after the other in their order. What an operator stopped or hibernated since the machine
 * was started stays so: an agent that is restarted must not undo that.
 */
import { currentBootId } from "../capsules/process-identity.js";
import type { LifeOperations } from "../operations/life-operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";

const WAIT_MS = 60_000;

export async function startAutomatically(
  services: Services,
  lives: LifeOperations,
  restores: RestoreOperations,
): Promise<void> {
  const { applications, operations, notices, log } = services;
  for (const application of applications.list()) {
    const { config, problem, life, remembered } = application;
    if (
      config?.start !== "auto" ||
      problem !== null ||
      life !== null ||
      remembered.heldInBoot === currentBootId()
    ) {
      continue;
    }
    try {
      const begun =
        remembered.state === "hibernated"
          ? restores.wake(application, null, "start-up")
          : lives.start(application);
      const ended = await operations.wait(begun.id, WAIT_MS);
      if (ended.error !== null) {
        notices.add("error", application.id, ended.error.message);
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log.warn({ application: application.id }, "an application could not be started by itself");
      notices.add("error", application.id, message);
    }
  }
}
