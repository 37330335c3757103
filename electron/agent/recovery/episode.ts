/**
 * An episode: all that was tried for an application since it was last well. It begins with an occurrence,
 * ends with a healthy life or with an operator who takes over, and is kept in the catalog, so that an
 * agent that is restarted in the middle neither begins anew nor tries for ever.
 */
import { z, type ImageId } from "../../contract/index.js";

const attemptSchema = z.object({
  /** Null for a clean start. */
  imageId: z.string().nullable(),
  /** Index of the rule in its list; null for the clean start after all of them. */
  rule: z.number().int().nullable(),
  /** The life that came of it; null while none has. */
  life: z.number().int().nullable(),
});
export type Attempt = z.infer<typeof attemptSchema>;

const episodeSchema = z.object({
  /** Attempts that failed in a row. */
  failures: z.number().int().min(0),
  /** How often each image failed, and for which rule it was chosen. */
  images: z.record(z.string(), z.object({ failures: z.number().int(), rule: z.number().int() })),
  /** How often a clean start failed. */
  startFailures: z.number().int().min(0),
  /** What runs now, or is being tried. */
  attempt: attemptSchema.nullable(),
  /** No rule was left: only an operator, or the machine's next start, begins anew. */
  givenUp: z.boolean(),
  bootId: z.string(),
});
export type Episode = z.infer<typeof episodeSchema>;

export function newEpisode(bootId: string): Episode {
  return { failures: 0, images: {}, startFailures: 0, attempt: null, givenUp: false, bootId };
}

/** What an earlier agent had come to; a new one where there is none that counts. */
export function readEpisode(stored: unknown, bootId: string): Episode {
  const parsed = episodeSchema.safeParse(stored);
  return parsed.success && parsed.data.bootId === bootId ? parsed.data : newEpisode(bootId);
}

/** The attempt that this one is in has failed. */
export function withFailure(episode: Episode): Episode {
  const { attempt } = episode;
  if (attempt === null) {
    return episode;
  }
  const failed = { ...episode, failures: episode.failures + 1, attempt: null };
  if (attempt.imageId === null) {
    return { ...failed, startFailures: episode.startFailures + 1 };
  }
  const id: ImageId = attempt.imageId;
  return {
    ...failed,
    images: {
      ...episode.images,
      [id]: { failures: (episode.images[id]?.failures ?? 0) + 1, rule: attempt.rule ?? 0 },
    },
  };
}
