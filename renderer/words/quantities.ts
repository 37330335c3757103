// Numbers as an admin reads them: sizes in binary units, times in the unit that fits, and always with
// the same number of digits for the same magnitude, so that columns of them stand still.

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

export interface Quantity {
  readonly figure: string;
  readonly unit: string;
}

/** 23.4 MiB, as its two parts. Three significant digits; whole bytes below 1 KiB. */
export function measureBytes(bytes: number): Quantity {
  if (bytes < 1024) return { figure: String(Math.max(0, Math.round(bytes))), unit: "B" };
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as four digits: it is better said in the next unit.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return { figure: threeDigits(value), unit: BYTE_UNITS[unit] ?? "B" };
}

export function formatBytes(bytes: number): string {
  const { figure, unit } = measureBytes(bytes);
  return `${figure} ${unit}`;
}

/** "3.1 ms", "412 ms", "1.84 s", "2 min 5 s". */
export function formatMilliseconds(milliseconds: number): string {
  if (milliseconds < 999.5) return `${threeDigits(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${threeDigits(milliseconds / 1000)} s`;
  return formatSpan(milliseconds);
}

/** A length of time in its two largest units: "2 min 5 s", "3 h 20 min", "4 d 2 h". */
export function formatSpan(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return join(minutes, "min", seconds % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return join(hours, "h", minutes % 60, "min");
  return join(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** "1 process", "12 processes". */
export function countOf(count: number, singular: string, plural = `${singular}s`): string {
  return `${count.toLocaleString("en-GB")} ${count === 1 ? singular : plural}`;
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  if (value >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}
