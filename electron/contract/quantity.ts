/** Durations and byte counts as a person writes them into a file: `"5m"`, `"2G"`. */
import { z } from "./validation.js";

const durationUnitMs = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
} as const;

/** "250ms", "10s", "5m", "1h", "30d", "2w" in milliseconds; null when it is not written so. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9})(ms|s|m|h|d|w)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    return null;
  }
  return Number(match[1]) * durationUnitMs[match[2] as keyof typeof durationUnitMs];
}

/** The longest unit that says it in a whole number: 90000 is "90s", 3600000 is "1h". */
export function writeDuration(milliseconds: number): string {
  const units = Object.entries(durationUnitMs).reverse();
  const [unit, size] = units.find(([, each]) => milliseconds > 0 && milliseconds % each === 0) ?? [
    "ms",
    1,
  ];
  return `${milliseconds / size}${unit}`;
}

/** A duration from `least` on; both bounds are written as the file would. */
export function durationSchema(least?: string, most?: string) {
  const leastMs = least === undefined ? 0 : (parseDuration(least) ?? 0);
  const mostMs = most === undefined ? Infinity : (parseDuration(most) ?? Infinity);
  return z.string().transform((text, context) => {
    const milliseconds = parseDuration(text);
    if (milliseconds === null) {
      context.addIssue({
        code: "custom",
        message: 'must be a duration such as "500ms", "10s" or "5m"',
      });
      return z.NEVER;
    }
    if (milliseconds < leastMs || milliseconds > mostMs) {
      const bounds = [
        ...(leastMs > 0 ? [`at least "${least ?? ""}"`] : []),
        ...(mostMs < Infinity ? [`at most "${most ?? ""}"`] : []),
      ];
      context.addIssue({ code: "custom", message: `must be ${bounds.join(" and ")}` });
      return z.NEVER;
    }
    return milliseconds;
  });
}

const byteUnits: Readonly<Record<string, number>> = {
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/** "512M", "2G" in bytes, by 1024; null when it is not written so. */
export function parseBytes(text: string): number | null {
  const match = /^(\d{1,6})([KMGT])$/.exec(text);
  const unit = byteUnits[match?.[2] ?? ""];
  return match === null || unit === undefined ? null : Number(match[1]) * unit;
}

/** A byte count of at least 1M: less would refuse every image there is. */
export const bytesSchema = z.string().transform((text, context) => {
  const bytes = parseBytes(text);
  if (bytes === null || bytes < (byteUnits.M ?? 0)) {
    context.addIssue({
      code: "custom",
      message: 'must be a size such as "512M", "2G" or "1T", at least "1M"',
    });
    return z.NEVER;
  }
  return bytes;
});
