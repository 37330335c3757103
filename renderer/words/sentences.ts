// Puts words of other programs together: each becomes a sentence, whatever its writer thought of full stops.

/** "no swap is active" → "No swap is active." */
export function asSentence(words: string): string {
  const begun = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?:]$/.test(begun) ? begun : `${begun}.`;
}

/** The sentences of those that are there. */
export function asSentences(parts: readonly (string | null)[]): string {
  return parts
    .filter((part) => part !== null && part !== "")
    .map((part) => asSentence(part ?? ""))
    .join(" ");
}
