/**
 * Which images of an application stay and which go, and why: a function of the records and the policy
 * alone. It only ever proposes; who deletes looks once more whether an image is in use.
 *
 * An image stays when any rule of the file wants it (one of the newest `count`, or one on the ladder of
 * ages); without a rule all of them do. Bytes are a bound above that: the oldest go until the rest fits.
 * Some are never proposed, whatever the rules say: see `Protection`.
 */
import {
  writeDuration,
  type AgeLadder,
  type ImageId,
  type ImageRecord,
  type KeepConfig,
} from "../../contract/index.js";

export interface RetentionContext {
  readonly now: number;
  /** Images that an operation reads or writes right now. */
  readonly inUse: ReadonlySet<ImageId>;
  /** Images that a hibernated application wakes from. */
  readonly awaited: ReadonlySet<ImageId>;
}

export interface RetentionVerdict {
  readonly image: ImageRecord;
  readonly keep: boolean;
  /** For people: "is pinned", "is older than the newest 10". */
  readonly reason: string;
  /** No rule wants it, and it is kept all the same, for the reason. */
  readonly held: boolean;
}

/** What of an image counts for whether it may be deleted. */
type Weighed = Pick<
  ImageRecord,
  "id" | "createdAt" | "state" | "pinned" | "healthyAt" | "parentId" | "fileBytes"
>;

interface Judged<T extends Weighed = ImageRecord> {
  readonly image: T;
  keep: boolean;
  reason: string;
  held: boolean;
  /** Why it can't be proposed at all; null when it can. */
  readonly protection: string | null;
  /** Set while it is kept for nothing but an image that builds on it: why it would go else. */
  onlyBase: string | null;
}

/** Of one application. `images` in any order; the verdicts come newest first. */
export function planRetention(
  images: readonly ImageRecord[],
  policy: KeepConfig,
  context: RetentionContext,
  replaced: ReadonlySet<ImageId> = new Set(),
): RetentionVerdict[] {
  const judged = protect(images, context);
  const wanted = wantedBy(
    judged.map(({ image }) => image),
    policy,
    context.now,
  );
  for (const each of judged) {
    const reason = wanted?.get(each.image.id);
    if (replaced.has(each.image.id)) {
      each.keep = false;
      each.reason = "was replaced by the image after it";
    } else if (wanted === null) {
      each.reason = "no rule asks for it to go";
    } else {
      each.keep = reason !== undefined;
      each.reason = reason ?? unwanted(policy);
    }
    if (!each.keep && each.protection !== null) {
      each.keep = true;
      each.held = true;
      each.reason = each.protection;
    }
  }
  keepBases(judged);
  if (policy.bytes !== undefined) {
    fitInto(judged, policy.bytes, `all images of the application may take`);
  }
  return judged.map(({ image, keep, reason, held }) => ({ image, keep, reason, held }));
}

/**
 * What must go besides so that all images together fit into the store's bound: the oldest of those that
 * their applications' own rules would keep.
 */
export function planStore(
  verdicts: readonly RetentionVerdict[],
  bytes: number,
  context: RetentionContext,
): RetentionVerdict[] {
  const byApplication = Map.groupBy(verdicts, ({ image }) => image.applicationId);
  const protections = new Map(
    [...byApplication.values()].flatMap((own) =>
      protect(
        own.map(({ image }) => image),
        context,
      ).map(({ image, protection }): [ImageId, string | null] => [image.id, protection]),
    ),
  );
  const judged = verdicts
    .map((verdict): Judged => ({
      ...verdict,
      protection: protections.get(verdict.image.id) ?? null,
      onlyBase: null,
    }))
    .sort((a, b) => newerFirst(a.image, b.image));
  fitInto(judged, bytes, "all images together may take");
  return judged.map(({ image, keep, reason, held }) => ({ image, keep, reason, held }));
}

/**
 * What can't be deleted by any rule, in bytes; with `upcomingBytes`, as it will be when a new image of
 * that size is there and the newest of now is no longer the newest.
 */
export function protectedBytes(
  images: readonly ImageRecord[],
  context: RetentionContext,
  upcomingBytes?: number,
): number {
  const upcoming: Weighed[] =
    upcomingBytes === undefined
      ? []
      : [
          {
            id: "upcoming",
            createdAt: new Date(context.now).toISOString(),
            state: "ok",
            pinned: true,
            healthyAt: null,
            parentId: null,
            fileBytes: upcomingBytes,
          },
        ];
  const judged = protect<Weighed>([...upcoming, ...images], context);
  for (const each of judged) {
    each.keep = each.protection !== null;
  }
  keepBases(judged);
  return sumOf(judged);
}

/** An image that could be restored as far as anybody knows. */
function isUsable(image: Weighed): boolean {
  return image.state === "ok";
}

function protect<T extends Weighed>(images: readonly T[], context: RetentionContext): Judged<T>[] {
  const ordered = [...images].sort(newerFirst);
  const newest = ordered.find(isUsable);
  const newestHealthy = ordered.find((image) => isUsable(image) && image.healthyAt !== null);
  const protection = (image: T): string | null => {
    if (image.pinned) {
      return "is pinned";
    }
    if (context.inUse.has(image.id)) {
      return "is being used";
    }
    if (context.awaited.has(image.id)) {
      return "is what the hibernated application wakes from";
    }
    if (image.id === newestHealthy?.id) {
      return "is the newest that is known to be healthy";
    }
    return image.id === newest?.id ? "is the newest" : null;
  };
  return ordered.map((image) => ({
    image,
    keep: true,
    reason: "",
    held: false,
    protection: protection(image),
    onlyBase: null,
  }));
}

/** The images that a rule wants, with the rule; null where the policy has no such rule. */
function wantedBy(
  newestFirst: readonly ImageRecord[],
  policy: KeepConfig,
  now: number,
): Map<ImageId, string> | null {
  const { count, ages } = policy;
  const rungs = ages === undefined ? [] : rungsOf(ages);
  if (count === undefined && rungs.length === 0) {
    return null;
  }
  const wanted = new Map<ImageId, string>();
  for (const image of newestFirst.slice(0, count ?? 0)) {
    wanted.set(image.id, count === 1 ? "is the newest" : `is one of the newest ${count ?? 0}`);
  }
  for (const rung of rungs) {
    const slots = new Set<number>();
    for (const image of newestFirst) {
      const taken = Date.parse(image.createdAt);
      const slot = rung.slotMs === null ? taken : slotOf(taken, rung.slotMs);
      if (now - taken <= rung.upToMs && (rung.slotMs === null || !slots.has(slot))) {
        slots.add(slot);
        if (!wanted.has(image.id)) {
          wanted.set(image.id, rung.reason);
        }
      }
    }
  }
  return wanted;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function rungsOf(
  ages: AgeLadder,
): { readonly upToMs: number; readonly slotMs: number | null; readonly reason: string }[] {
  const rungs = [
    [ages.all, null, ""],
    [ages.hourly, HOUR_MS, "the newest of its hour"],
    [ages.daily, DAY_MS, "the newest of its day"],
    [ages.weekly, 7 * DAY_MS, "the newest of its week"],
  ] as const;
  return rungs.flatMap(([upToMs, slotMs, what]) =>
    upToMs === undefined
      ? []
      : [
          {
            upToMs,
            slotMs,
            reason:
              slotMs === null
                ? `is younger than ${writeDuration(upToMs)}`
                : `is ${what}, and younger than ${writeDuration(upToMs)}`,
          },
        ],
  );
}

/** Hours and days by UTC, weeks from Monday on: slots never move, so no image goes in and out of one. */
function slotOf(taken: number, slotMs: number): number {
  const shift = slotMs === 7 * DAY_MS ? 3 * DAY_MS : 0;
  return Math.floor((taken + shift) / slotMs);
}

function unwanted({ count, ages }: KeepConfig): string {
  return [
    ...(count === undefined ? [] : [`is not one of the newest ${count}`]),
    ...(ages === undefined ? [] : ["has no place on the ladder of ages"]),
  ].join(" and ");
}

/** Whatever a kept image builds on is kept, and so on down to a complete one. */
function keepBases<T extends Weighed>(judged: readonly Judged<T>[]): void {
  const byId = new Map(judged.map((each) => [each.image.id, each]));
  for (const each of judged.filter(({ keep }) => keep)) {
    let parent = each.image.parentId;
    for (let above = each; parent !== null;) {
      const base = byId.get(parent);
      if (base === undefined || base.keep) {
        break;
      }
      base.keep = true;
      base.held = true;
      base.onlyBase = base.reason;
      base.reason = `image ${above.image.id.slice(0, 8)} builds on it`;
      above = base;
      parent = base.image.parentId;
    }
  }
}

/** Lets the oldest go that nothing protects and nothing kept builds on, until the rest fits. */
function fitInto(judged: readonly Judged[], bytes: number, bound: string): void {
  let total = sumOf(judged);
  const bases = new Map<ImageId, number>();
  for (const { image, keep } of judged) {
    if (keep && image.parentId !== null) {
      bases.set(image.parentId, (bases.get(image.parentId) ?? 0) + 1);
    }
  }
  const byId = new Map(judged.map((each) => [each.image.id, each]));
  const letGo = (each: Judged, reason: string): void => {
    each.keep = false;
    each.held = false;
    each.reason = reason;
    total -= sizeOf(each.image);
    const { parentId } = each.image;
    if (parentId === null) {
      return;
    }
    const left = (bases.get(parentId) ?? 1) - 1;
    bases.set(parentId, left);
    const base = byId.get(parentId);
    if (left === 0 && base?.keep === true && base.onlyBase !== null && base.protection === null) {
      letGo(base, base.onlyBase);
    }
  };
  // Oldest first; a base only becomes free when the last that builds on it has gone, so several rounds.
  for (let gone = true; gone && total > bytes;) {
    gone = false;
    for (const each of [...judged].reverse()) {
      if (total <= bytes) {
        return;
      }
      const { image } = each;
      if (!each.keep || each.protection !== null || (bases.get(image.id) ?? 0) > 0) {
        continue;
      }
      letGo(each, `${bound} ${bytes / 1024 ** 2} MiB, and it is the oldest that may go`);
      gone = true;
    }
  }
}

function sumOf<T extends Weighed>(judged: readonly Judged<T>[]): number {
  return judged.reduce((sum, { image, keep }) => sum + (keep ? sizeOf(image) : 0), 0);
}

/** A file that is not there takes no room. */
function sizeOf(image: Weighed): number {
  return image.state === "missing" ? 0 : image.fileBytes;
}

function newerFirst(a: Weighed, b: Weighed): number {
  return b.createdAt.localeCompare(a.createdAt) || b.id.localeCompare(a.id);
}
