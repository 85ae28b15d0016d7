/**
 * What it takes for Deno to halt a thread that never returns.
 *
 * @module
 */

/** Lets `terminate()` halt this thread in a loop without end: Deno does that only to one that holds a lock (2.9.6). */
export function beHaltable(): void {
  const { locks } = navigator as unknown as {
    locks: { request(name: string, hold: () => Promise<never>): unknown };
  };
  void locks.request(`millrace-${crypto.randomUUID()}`, () => new Promise<never>(() => {}));
}
