/** Sizes and times as people read them. */

const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? ""}`;
}

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) {
    return "–";
  }
  return value >= 1000
    ? `${(value / 1000).toFixed(2)} s`
    : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

/** `2026-01-31 15:45:01`, in the reader's time zone. */
export function time(timestamp: string | null): string {
  if (timestamp === null) {
    return "–";
  }
  const date = new Date(timestamp);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function shortId(id: string | null): string {
  return id === null ? "–" : id.slice(0, 8);
}
