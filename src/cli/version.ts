/**
 * Versions: the program's own, and the oldest Deno that it runs on.
 *
 * @module
 */

/** Version of millrace, the same as in deno.json. */
export const VERSION = "0.1.0";

/** The oldest Deno to serve on: earlier ones cannot end a thread that never returns. */
export const OLDEST_DENO = "2.9.5";

/** Is one version number (`2.9.6`, a suffix such as `-rc.1` is ignored) before another? */
export function isOlder(version: string, than: string): boolean {
  const numbers = (text: string) => text.split(/[-+]/)[0].split(".").map(Number);
  const [have, want] = [numbers(version), numbers(than)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
