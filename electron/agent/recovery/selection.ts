/**
 * Which image an application is brought back from (the seed's steps 74 to 79): a function of its images,
 * its rules and what has been tried, and of nothing else. It says of every image that it passed over why.
 *
 * The rules are gone through in their order. Each takes the newest image that meets its criteria, is
 * whole, and is not suspect for this occurrence; when that has failed as often as it may, an older one;
 * when as many as may be have failed, the next rule. A clean start comes last, and after that nothing.
 */
import {
  writeDuration,
  writeRule,
  type Decision,
  type ImageRecord,
  type PassedOver,
  type RecoveryConfig,
  type RecoveredOccurrence,
  type SelectionRule,
} from "../../contract/index.js";
import { backOffMs } from "./back-off.js";
import type { Episode } from "./episode.js";

export interface SelectionInput {
  readonly occurrence: RecoveredOccurrence;
  /** When it happened, milliseconds since 1970. */
  readonly at: number;
  /** Of the application, in any order. */
  readonly images: readonly ImageRecord[];
  readonly config: RecoveryConfig;
  readonly episode: Episode;
}

export interface Selection {
  readonly decision: Decision;
  /** Index of the rule that decided; null where none did. */
  readonly rule: number | null;
}

/** More than anybody reads; an application may have thousands of images. */
const MOST_PASSED_OVER = 200;

export function rulesFor(
  config: RecoveryConfig,
  occurrence: RecoveredOccurrence,
): readonly SelectionRule[] {
  switch (occurrence) {
    case "crash":
      return config["on-crash"];
    case "hang":
      return config["on-hang"];
    case "start-up":
      return config["on-start"];
    case "power-loss":
      return config["on-power-loss"];
    case "agent-failure":
      return config["on-agent-failure"];
  }
}

export function select(input: SelectionInput): Selection {
  const { config, episode } = input;
  const delayMs = backOffMs(episode.failures, config);
  const passedOver: PassedOver[] = [];
  const newestFirst = [...input.images].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  const rules = rulesFor(config, input.occurrence);
  const made = (
    action: Decision["action"],
    rule: number | null,
    imageId: string | null,
    reason: string,
  ): Selection => ({
    rule,
    decision: {
      action,
      imageId,
      rule: rule === null ? null : writeRule(rules[rule] ?? { kind: "start" }),
      reason,
      passedOver: passedOver.slice(0, MOST_PASSED_OVER),
      delayMs: action === "give-up" ? 0 : delayMs,
    },
  });

  for (const [index, rule] of rules.entries()) {
    if (rule.kind === "start") {
      if (episode.startFailures < config["start-failures"]) {
        return made("start", index, null, "a clean start is what the rules say next");
      }
      continue;
    }
    const tried = Object.entries(episode.images).filter(
      ([, each]) => each.rule === index && each.failures >= config["failures-per-image"],
    ).length;
    const exhausted = tried > config["older-images"];
    for (const image of newestFirst) {
      const reason = whyNot(image, rule, input, exhausted ? tried : null);
      if (reason === null) {
        return made("restore", index, image.id, whyThis(rule, passedOver, index));
      }
      passedOver.push({ imageId: image.id, rule: index, reason });
    }
  }
  if (config["clean-start"] && episode.startFailures < config["start-failures"]) {
    return made(
      "start",
      null,
      null,
      newestFirst.length === 0
        ? "it has no image, so it is started cleanly"
        : "no rule has an image left, so it is started cleanly",
    );
  }
  return made(
    "give-up",
    null,
    null,
    `no rule is left after ${episode.failures} failed ${episode.failures === 1 ? "attempt" : "attempts"}`,
  );
}

/** Why this rule does not take this image; null when it does. */
function whyNot(
  image: ImageRecord,
  rule: Extract<SelectionRule, { kind: "image" }>,
  { occurrence, at, config, episode }: SelectionInput,
  triedForRule: number | null,
): string | null {
  if (image.state !== "ok") {
    return image.state === "incomplete" && image.stateReason !== null
      ? image.stateReason
      : `is ${image.state}`;
  }
  const failures = episode.images[image.id]?.failures ?? 0;
  if (failures >= config["failures-per-image"]) {
    return failures === 1 ? "failed just before" : `failed ${failures} times just before`;
  }
  if (image.suspectFor.includes(occurrence)) {
    return `is suspect: a life of it failed within ${writeDuration(config["healthy-after"])}`;
  }
  if (rule.healthy && image.healthyAt === null) {
    return "is not known to be healthy";
  }
  const age = at - Date.parse(image.createdAt);
  if (rule.beforeMs !== null && age < rule.beforeMs) {
    return `was taken ${Math.max(0, Math.round(age / 1000))} s before, which is less than ${writeDuration(rule.beforeMs)}`;
  }
  if (rule.label !== null && image.label !== rule.label) {
    return image.label === null
      ? `has no label; "${rule.label}" is asked for`
      : `has the label "${image.label}", not "${rule.label}"`;
  }
  if (rule.pinned && !image.pinned) {
    return "is not pinned";
  }
  if (rule.trigger !== null && image.trigger !== rule.trigger) {
    return `was taken for "${image.trigger}", not "${rule.trigger}"`;
  }
  if (triedForRule !== null) {
    return `is older than the ${triedForRule} that the rule has tried`;
  }
  return null;
}

function whyThis(
  rule: Extract<SelectionRule, { kind: "image" }>,
  passedOver: readonly PassedOver[],
  index: number,
): string {
  const skipped = passedOver.filter((each) => each.rule === index).length;
  const what = writeRule(rule);
  return skipped === 0
    ? `it is the newest that the rule ${what} finds`
    : `it is the newest that the rule ${what} finds, after ${skipped} ${skipped === 1 ? "that was" : "that were"} passed over`;
}
