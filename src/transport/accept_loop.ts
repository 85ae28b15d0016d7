/**
 * The accept loop: takes connections for as long as the listener is open, whatever goes wrong in between.
 *
 * @module
 */

/** What the loop needs of a listening socket. */
export interface AcceptLoopOptions<T> {
  /** Takes the next connection. Rejects when none could be taken. */
  accept(): Promise<T>;
  /** Aborted when the listener is closed: the loop then ends. */
  readonly signal: AbortSignal;
  /** Ends a connection that arrived while the listener was being closed. */
  discard(connection: T): void;
  /** Told about each failure, with the number of milliseconds until the next attempt. */
  onFailure(error: unknown, pause: number): void;
}

/** Pause after the first failure in a row, in milliseconds; each further one doubles it. */
const firstPause = 5;
/** Longest pause, in milliseconds. */
const longestPause = 1000;

/**
 * Yields connections until `signal` aborts. A failed accept (EMFILE, ENFILE, ENOBUFS, ECONNABORTED, …) never ends
 * the loop: such conditions pass when connections end. It does not spin either: it waits first, longer each time in
 * a row.
 */
export async function* acceptLoop<T>(options: AcceptLoopOptions<T>): AsyncGenerator<T, void, void> {
  const { accept, signal, discard, onFailure } = options;
  let pause = firstPause;
  while (!signal.aborted) {
    let connection: T;
    try {
      connection = await accept();
    } catch (error) {
      if (signal.aborted) return;
      onFailure(error, pause);
      await wait(pause, signal);
      pause = Math.min(pause * 2, longestPause);
      continue;
    }
    if (signal.aborted) {
      discard(connection);
      return;
    }
    pause = firstPause;
    yield connection;
  }
}

/** Resolves after `milliseconds`, or as soon as `signal` aborts. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
