import { describe, expect, it } from "vitest";
import {
  recoveryConfigSchema,
  type ImageRecord,
  type RecoveredOccurrence,
  type z,
} from "../../contract/index.js";
import { inventImage } from "../policy/invented-images.js";
import { newEpisode, withFailure, type Episode } from "./episode.js";
import { select } from "./selection.js";

const now = Date.parse("2026-11-23T12:00:00Z");
const MINUTE = 60_000;

function choose(
  images: readonly ImageRecord[],
  written: z.input<typeof recoveryConfigSchema> = {},
  episode: Episode = newEpisode("boot"),
  occurrence: RecoveredOccurrence = "crash",
) {
  const config = recoveryConfigSchema.parse(written);
  return select({ occurrence, at: now, images, config, episode });
}

const at = (ageMinutes: number, change: Partial<ImageRecord> = {}): ImageRecord =>
  inventImage(now, ageMinutes * MINUTE, change);

describe("select", () => {
  it("takes the newest, whatever the order it is told of them", () => {
    const images = [at(5), at(1), at(9)];
    expect(choose(images).decision).toEqual({
      action: "restore",
      imageId: images[1]?.id,
      rule: "newest",
      reason: "it is the newest that the rule newest finds",
      passedOver: [],
      delayMs: 0,
    });
  });

  it("says of each image that it passed over why", () => {
    const images = [
      at(1),
      at(2, { healthyAt: "2026-11-23T11:59:00Z", state: "damaged" }),
      at(3, { healthyAt: "2026-11-23T11:59:00Z", suspectFor: ["crash"] }),
      at(4, { healthyAt: "2026-11-23T11:59:00Z" }),
    ];
    const { decision } = choose(images, { "on-crash": ["newest-healthy"] });
    expect(decision).toMatchObject({
      imageId: images[3]?.id,
      reason: "it is the newest that the rule newest-healthy finds, after 3 that were passed over",
    });
    expect(decision.passedOver).toEqual([
      { imageId: images[0]?.id, rule: 0, reason: "is not known to be healthy" },
      { imageId: images[1]?.id, rule: 0, reason: "is damaged" },
      { imageId: images[2]?.id, rule: 0, reason: "is suspect: a life of it failed within 1m" },
    ]);
  });

  it.each<[string, z.input<typeof recoveryConfigSchema>["on-crash"], number]>([
    ["before the occurrence by so much", [{ before: "2m" }], 1],
    ["a label", [{ label: "after login" }], 2],
    ["pinned", ["pinned"], 3],
    ["a trigger", [{ trigger: "ready" }], 4],
    ["several criteria at once", [{ before: "2m", healthy: true }], 5],
  ])("goes by %s", (_what, rules, expected) => {
    const images = [
      at(1),
      at(2),
      at(3, { label: "after login" }),
      at(4, { pinned: true }),
      at(5, { trigger: "ready" }),
      at(6, { healthyAt: "2026-11-23T11:59:00Z" }),
    ];
    const { decision } = choose(images, { "on-crash": rules });
    expect(decision.imageId).toBe(images[expected]?.id);
    expect(decision.passedOver).toHaveLength(expected);
  });

  it("goes on to the next rule where none fits, and at last to a clean start", () => {
    const images = [at(1), at(2)];
    const rules = { "on-crash": [{ label: "gone" }, "pinned"] };
    expect(choose(images, rules)).toMatchObject({
      rule: null,
      decision: { action: "start", reason: "no rule has an image left, so it is started cleanly" },
    });
    expect(choose(images, { ...rules, "clean-start": false }).decision).toMatchObject({
      action: "give-up",
      reason: "no rule is left after 0 failed attempts",
    });
  });

  it("does not hold a crash against an image at the machine's start", () => {
    const images = [at(1, { suspectFor: ["crash"] }), at(2)];
    expect(choose(images).decision.imageId).toBe(images[1]?.id);
    expect(choose(images, {}, undefined, "power-loss").decision.imageId).toBe(images[0]?.id);
  });

  it("tries, when everything fails: image, older image, next rule, clean starts, nothing", () => {
    const images = [at(1), at(2), at(3), at(4, { pinned: true }), at(5)];
    const written = {
      "on-crash": ["newest", "pinned"],
      "failures-per-image": 2,
      "start-failures": 2,
    };
    let episode = newEpisode("boot");
    const tried: [string, number][] = [];
    for (let turn = 0; turn < 100; turn++) {
      const { decision, rule } = choose(images, written, episode);
      const index = images.findIndex(({ id }) => id === decision.imageId);
      tried.push([
        decision.action === "restore" ? `image ${index}` : decision.action,
        decision.delayMs,
      ]);
      if (decision.action === "give-up") {
        break;
      }
      episode = withFailure({
        ...episode,
        attempt: { imageId: decision.imageId, rule, life: null },
      });
    }
    expect(tried).toEqual([
      ["image 0", 0],
      ["image 0", 1000],
      ["image 1", 2000],
      ["image 1", 4000],
      ["image 3", 8000],
      ["image 3", 16_000],
      ["start", 32_000],
      ["start", 64_000],
      ["give-up", 0],
    ]);
  });

  it("goes back through more images where the file says so", () => {
    const images = [at(1), at(2), at(3)];
    const failed = images
      .slice(0, 2)
      .reduce(
        (episode, { id }) =>
          withFailure({ ...episode, attempt: { imageId: id, rule: 0, life: null } }),
        newEpisode("boot"),
      );
    const rules = { "on-crash": ["newest"] };
    expect(choose(images, rules, failed).decision.action).toBe("start");
    expect(choose(images, { ...rules, "older-images": 2 }, failed).decision.imageId).toBe(
      images[2]?.id,
    );
  });

  it("ends for every list of rules and every history", () => {
    const words = ["newest", "newest-healthy", "pinned", "start", { before: "2m" }, { label: "x" }];
    for (let mask = 0; mask < 2 ** words.length; mask++) {
      const rules = words.filter((_, bit) => (mask & (1 << bit)) !== 0);
      const images = Array.from({ length: 6 }, (_, index) =>
        at(index, {
          pinned: index % 2 === 0,
          label: index % 3 === 0 ? "x" : null,
          healthyAt: index > 3 ? "2026-11-23T11:00:00Z" : null,
        }),
      );
      let episode = newEpisode("boot");
      let turns = 0;
      for (;;) {
        const { decision, rule } = choose(images, { "on-crash": rules }, episode);
        if (decision.action === "give-up") {
          break;
        }
        turns += 1;
        expect(turns).toBeLessThan(50);
        episode = withFailure({
          ...episode,
          attempt: { imageId: decision.imageId, rule, life: null },
        });
      }
      // Never given up without a clean start having been tried as often as it may fail.
      expect(episode.startFailures).toBe(5);
    }
  });
});
