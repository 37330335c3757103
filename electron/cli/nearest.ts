/** What somebody who mistyped a word may have meant. */

/** The most alike of the words, where one is alike enough; swapped neighbours count as one mistake. */
export function nearest(typed: string, words: readonly string[]): string | null {
  const allowed = Math.max(1, Math.floor(typed.length / 3));
  let best: string | null = null;
  let fewest = allowed + 1;
  for (const word of words) {
    const mistakes = distance(typed.toLowerCase(), word);
    if (mistakes < fewest) {
      [best, fewest] = [word, mistakes];
    }
  }
  return best;
}

/** Letters to insert, leave out, replace, or swap with the next one (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(least);
    }
    [beforeLast, last] = [last, current];
  }
  return last[b.length] ?? 0;
}
