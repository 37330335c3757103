/** Any JSON value as indented lines: for the parts of an image whose shape only the helper knows. */

export function outline(value: unknown): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((each) => {
      const lines = outline(each);
      return lines.map((line, index) => (index === 0 ? `- ${line}` : `  ${line}`));
    });
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.every(([, each]) => isPlain(each))) {
      return [entries.map(([key, each]) => `${key}=${plain(each)}`).join("  ")];
    }
    return entries.flatMap(([key, each]) =>
      isPlain(each)
        ? [`${key}: ${plain(each)}`]
        : [`${key}:`, ...outline(each).map((line) => `  ${line}`)],
    );
  }
  return [plain(value)];
}

function isPlain(value: unknown): boolean {
  return (
    typeof value !== "object" ||
    value === null ||
    (Array.isArray(value) && value.every((each) => typeof each !== "object"))
  );
}

function plain(value: unknown): string {
  if (Array.isArray(value)) {
    return value.map(plain).join(" ");
  }
  return typeof value === "string"
    ? printable(value)
    : value === null
      ? "–"
      : JSON.stringify(value);
}

/** Names in an image come from the application: they must not act on the reader's terminal. */
function printable(text: string): string {
  return text.replaceAll(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
