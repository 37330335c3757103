/** A key as people write it: "ctrl-]". */
import { fail } from "../contract/index.js";

export interface Key {
  /** The byte that a terminal sends for it. */
  readonly code: number;
}

/** null for "none". @throws FailureError with code `usage`. */
export function parseKey(text: string): Key | null {
  if (text === "none") {
    return null;
  }
  const match = /^(?:ctrl-|\^)([a-z@[\]\\^_])$/i.exec(text);
  if (match?.[1] === undefined) {
    fail("usage", {
      happened: `"${text}" is not a key that can detach.`,
      remedy: 'Name one such as "ctrl-]" or "ctrl-a", or "none".',
    });
  }
  return { code: match[1].toUpperCase().charCodeAt(0) & 0x1f };
}
