/**
 * "Did you mean": the word that a misspelt one was probably meant to be.
 *
 * @module
 */

/**
 * Edit distance with swapped neighbours counted once (optimal string alignment), because swapping two letters
 * is the commonest slip.
 */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforeLast[j - 2] + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length];
}

/** Words that differ only in case, `-` and `_` are the same slip, whatever their length. */
function normalised(word: string): string {
  return word.toLowerCase().replaceAll(/[-_\s]/g, "");
}

/**
 * The one of `known` that is nearest to `word`, or undefined when none is near enough to be a slip of the finger:
 * up to one mistake in three letters, or one word being the beginning of the other.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const wanted = normalised(word.slice(0, 64));
  if (wanted === "") return undefined;
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const have = normalised(candidate);
    const begins = wanted.length >= 3 && (have.startsWith(wanted) || wanted.startsWith(have));
    const found = begins ? Math.min(1, distance(wanted, have)) : distance(wanted, have);
    const allowed = begins ? 1 : Math.max(1, Math.floor(Math.max(wanted.length, have.length) / 3));
    if (found <= allowed && found < bestDistance && found < have.length) {
      best = candidate;
      bestDistance = found;
    }
  }
  return best;
}
