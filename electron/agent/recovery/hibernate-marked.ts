/**
 * Before the machine goes down: hibernates what its file marks with at-shutdown, the important first,
 * several at once, within a time limit. What is not done by then runs on, and ends with the machine.
 */
import type { Application } from "../applications/application.js";
import type { CaptureOperations } from "../operations/capture.js";
import type { Services } from "../operations/services.js";

export interface HibernatedApplication {
  readonly applicationId: string;
  readonly imageId: string | null;
  /** Why it was not hibernated; null when it was. */
  readonly problem: string | null;
}

export async function hibernateMarked(
  services: Services,
  captures: CaptureOperations,
  { atOnce, limitMs }: { readonly atOnce: number; readonly limitMs: number },
): Promise<HibernatedApplication[]> {
  const deadline = performance.now() + limitMs;
  const queue = services.applications
    .list()
    .filter(({ life, config }) => life !== null && config?.capture["at-shutdown"] === true)
    .sort((a, b) => priorityOf(b) - priorityOf(a));
  const results: HibernatedApplication[] = [];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const result = await hibernate(services, captures, next, deadline);
      if (result.problem !== null) {
        services.notices.add(
          "error",
          next.id,
          `${next.title} was not hibernated at the shutdown: ${result.problem}`,
        );
      }
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

async function hibernate(
  services: Services,
  captures: CaptureOperations,
  application: Application,
  deadline: number,
): Promise<HibernatedApplication> {
  const outcome = (imageId: string | null, problem: string | null): HibernatedApplication => ({
    applicationId: application.id,
    imageId,
    problem,
  });
  const left = (): number => deadline - performance.now();
  try {
    // A scheduled capture may have it right now: that one's end is soon.
    if (application.operationId !== null) {
      await services.operations.wait(application.operationId, Math.max(0, left()));
    }
    if (left() <= 0) {
      return outcome(null, "there was no time left.");
    }
    const begun = captures.capture(application, {
      trigger: "shutdown",
      label: null,
      compress: null,
      keep: null,
      hibernate: true,
      // The machine goes down whether or not now is a good moment.
      force: true,
    });
    const ended = await services.operations.wait(begun.id, Math.max(0, left()));
    if (ended.endedAt === null) {
      services.operations.cancel(begun.id);
      return outcome(null, "it took longer than there was time.");
    }
    return outcome(ended.result?.imageId ?? null, ended.error?.message ?? null);
  } catch (error) {
    return outcome(null, error instanceof Error ? error.message : String(error));
  }
}

function priorityOf(application: Application): number {
  return application.config?.recovery?.priority ?? 0;
}
