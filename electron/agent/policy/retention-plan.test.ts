import { describe, expect, it } from "vitest";
import type { ImageRecord, KeepConfig } from "../../contract/index.js";
import { inventImage } from "./invented-images.js";
import {
  planRetention,
  planStore,
  protectedBytes,
  type RetentionContext,
} from "./retention-plan.js";

const MIB = 1024 ** 2;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const now = Date.parse("2026-11-23T12:30:00Z");
const context: RetentionContext = { now, inUse: new Set(), awaited: new Set() };

function kept(
  images: readonly ImageRecord[],
  policy: Partial<KeepConfig>,
  where = context,
): string[] {
  return planRetention(images, { policy: "keep", ...policy }, where)
    .filter(({ keep }) => keep)
    .map(({ image }) => image.id);
}

/** Newest first, one an hour. */
function hourly(length: number, change: (index: number) => Partial<ImageRecord> = () => ({})) {
  return Array.from({ length }, (_, index) => inventImage(now, index * HOUR, change(index)));
}

const ids = (images: readonly ImageRecord[]): string[] => images.map(({ id }) => id);

describe("planRetention", () => {
  it("keeps everything where no rule says otherwise", () => {
    const images = hourly(50);
    expect(kept(images, {})).toEqual(ids(images));
  });

  it("keeps the newest so many, and says why the others go", () => {
    const images = hourly(5);
    const verdicts = planRetention(images, { policy: "keep", count: 2 }, context);
    expect(verdicts.map(({ keep, reason }) => [keep, reason])).toEqual([
      [true, "is one of the newest 2"],
      [true, "is one of the newest 2"],
      [false, "is not one of the newest 2"],
      [false, "is not one of the newest 2"],
      [false, "is not one of the newest 2"],
    ]);
  });

  it("keeps by a ladder of ages", () => {
    // Every 10 minutes for three days.
    const images = Array.from({ length: 3 * 24 * 6 }, (_, index) =>
      inventImage(now, index * 10 * MINUTE),
    );
    const left = kept(images, { ages: { all: HOUR, hourly: DAY, daily: 3 * DAY } });
    const ages = images
      .filter(({ id }) => left.includes(id))
      .map((image) => (now - Date.parse(image.createdAt)) / MINUTE);
    // All of the last hour; then xx:50 of each hour (the newest in it) for a day; then 23:50 of each day.
    expect(ages.slice(0, 7)).toEqual([0, 10, 20, 30, 40, 50, 60]);
    expect(ages.slice(7)).toEqual([
      ...Array.from({ length: 23 }, (_, hour) => 100 + hour * 60).filter((age) => age <= 24 * 60),
      // The 22nd at 23:50 is among the hourly ones already; the 21st and the 20th are not.
      36 * 60 + 40,
      60 * 60 + 40,
    ]);
  });

  it("keeps what either of two rules wants", () => {
    const images = hourly(48);
    const left = kept(images, { count: 3, ages: { daily: 2 * DAY } });
    expect(left.slice(0, 3)).toEqual(ids(images.slice(0, 3)));
    // 12:30 on the 23rd back to the 21st: the newest of the 22nd and of the 21st.
    expect(left.slice(3)).toEqual(
      ids([images[13], images[37]].filter((each) => each !== undefined)),
    );
  });

  it("lets the oldest go until the rest fits into the bytes", () => {
    const images = hourly(10);
    expect(kept(images, { bytes: 3 * MIB })).toEqual(ids(images.slice(0, 3)));
  });

  it("never lets a pinned, used, awaited, healthy or newest image go", () => {
    const images = hourly(10, (index) => ({
      pinned: index === 9,
      healthyAt: index >= 6 ? new Date(now).toISOString() : null,
    }));
    const [, , , inUse, awaited] = images;
    const left = kept(
      images,
      { count: 1, bytes: MIB },
      { now, inUse: new Set([inUse?.id ?? ""]), awaited: new Set([awaited?.id ?? ""]) },
    );
    expect(left).toEqual(
      ids([0, 3, 4, 6, 9].map((index) => images[index]).filter((each) => each !== undefined)),
    );
  });

  it("does not take a damaged image for the newest or the healthy one", () => {
    const images = hourly(4, (index) => ({
      state: index < 2 ? ("damaged" as const) : ("ok" as const),
      healthyAt: new Date(now).toISOString(),
    }));
    expect(kept(images, { bytes: MIB })).toEqual([images[2]?.id]);
  });

  it("keeps whatever a kept incremental image builds on", () => {
    const images = hourly(6);
    const chain = images.map((image, index) => ({
      ...image,
      parentId: index < 3 ? (images[index + 1]?.id ?? null) : null,
    }));
    const verdicts = planRetention(chain, { policy: "keep", count: 1 }, context);
    expect(verdicts.map(({ keep }) => keep)).toEqual([true, true, true, true, false, false]);
    expect(verdicts.map(({ held }) => held)).toEqual([false, true, true, true, false, false]);
    expect(verdicts[1]?.reason).toBe(`image ${chain[0]?.id.slice(0, 8) ?? ""} builds on it`);
    // Neither do bytes tear the chain apart.
    expect(kept(chain, { bytes: MIB })).toEqual(ids(chain.slice(0, 4)));
  });

  it("lets a replaced image go, unless something protects it", () => {
    const [first, second] = [inventImage(now, HOUR), inventImage(now, 0)];
    const plan = (images: ImageRecord[]) =>
      planRetention(images, { policy: "keep" }, context, new Set([first.id])).map(
        ({ keep }) => keep,
      );
    expect(plan([second, first])).toEqual([true, false]);
    expect(plan([second, { ...first, pinned: true }])).toEqual([true, true]);
    expect(plan([{ ...second, parentId: first.id }, first])).toEqual([true, true]);
  });

  it("holds its promises for a thousand random histories", () => {
    let state = 20261123;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return Math.floor((state / 0x80000000) * below);
    };
    for (let round = 0; round < 1000; round++) {
      const images: ImageRecord[] = [];
      for (let index = 0; index < 1 + random(20); index++) {
        images.push(
          inventImage(now, random(60) * DAY + random(24) * HOUR, {
            pinned: random(8) === 0,
            healthyAt: random(4) === 0 ? new Date(now).toISOString() : null,
            state: random(6) === 0 ? "damaged" : "ok",
            fileBytes: (1 + random(9)) * MIB,
            parentId: random(3) === 0 ? (images[random(images.length)]?.id ?? null) : null,
          }),
        );
      }
      const inUse = new Set(images.filter(() => random(10) === 0).map(({ id }) => id));
      const bytes = random(2) === 0 ? (1 + random(30)) * MIB : undefined;
      const policy: KeepConfig = {
        policy: "keep",
        ...(random(2) === 0 ? { count: 1 + random(5) } : {}),
        ...(random(2) === 0 ? { ages: { all: DAY, daily: 30 * DAY } } : {}),
        ...(bytes === undefined ? {} : { bytes }),
      };
      const where = { ...context, inUse };
      const verdicts = planRetention(images, policy, where);
      const stays = new Map(verdicts.map(({ image, keep }) => [image.id, keep]));
      expect(verdicts).toHaveLength(images.length);
      const newestFirst = verdicts.map(({ image }) => image).filter(({ state: is }) => is === "ok");
      for (const must of [
        ...images.filter((image) => image.pinned || inUse.has(image.id)),
        newestFirst[0],
        newestFirst.find((image) => image.healthyAt !== null),
      ]) {
        expect(must === undefined || stays.get(must.id)).toBe(true);
      }
      for (const image of images) {
        if (stays.get(image.id) === true && image.parentId !== null) {
          expect(stays.get(image.parentId)).toBe(true);
        }
      }
      // It fits, or nothing is left that could go.
      const left = images.filter(({ id }) => stays.get(id) === true);
      const total = left.reduce((sum, image) => sum + image.fileBytes, 0);
      if (bytes !== undefined && total > bytes) {
        expect(total).toBe(protectedBytes(images, where));
      }
      // A plan that was carried out asks for nothing more.
      expect(planRetention(left, policy, where).filter(({ keep }) => !keep)).toEqual([]);
    }
  });
});

describe("planStore", () => {
  it("lets the oldest of all applications go, and no application's newest", () => {
    const images = [
      ...Array.from({ length: 4 }, (_, index) => inventImage(now, index * HOUR)),
      ...Array.from({ length: 2 }, (_, index) =>
        inventImage(now, (10 + index) * DAY, { applicationId: "other" }),
      ),
    ];
    const verdicts = planStore(
      images.map((image) => ({ image, keep: true, reason: "", held: false })),
      3 * MIB,
      context,
    );
    const left = verdicts.filter(({ keep }) => keep).map(({ image }) => image.id);
    expect(left).toEqual(
      ids([images[0], images[1], images[4]].filter((each) => each !== undefined)),
    );
  });
});
