/**
 * What the program and its threads say to each other.
 *
 * @module
 */
/** How often a thread shows that it moves, ms. */
export const BEAT = 1000;

/** What a thread is started with. */
export interface ThreadSetup {
  /** Number of the thread, from 1; the program's own is 0. */
  readonly thread: number;
  /** Memory of the `SharedPlaces` of all threads. */
  readonly places: SharedArrayBuffer;
  /** A number for each thread that it counts up every {@linkcode BEAT} ms: it moves. */
  readonly beats: SharedArrayBuffer;
  /** Memory of the `GuardBoard` of all threads. */
  readonly guards: SharedArrayBuffer;
  /** What the log is written to, as `Output` has it. */
  readonly isTerminal: boolean;
  readonly color: boolean;
}

/** A configuration as it goes to a thread: read once, so that all have the same. */
export interface ThreadConfig {
  readonly text: string;
  readonly file: string;
  /** The TCP addresses that the program's own thread has bound. */
  readonly listen: readonly string[];
  /** URL of the file's folder. */
  readonly base: string;
  /** Hashes of the code without a sandbox that the other threads run, by path. */
  readonly code: ReadonlyMap<string, string>;
}

/** From the program; of `prepare` and `adopt` one is under way at a time, and is answered. */
export type Order =
  | { readonly do: "prepare"; readonly read: ThreadConfig }
  | { readonly do: "adopt" }
  | { readonly do: "drop" }
  | { readonly do: "stop" }
  /** The last lines have been taken. */
  | { readonly do: "log on" };

/** From a thread. */
export type Report =
  | { readonly said: "prepared" }
  | { readonly said: "failed"; readonly message: string; readonly code: 1 | 2 }
  | { readonly said: "adopted"; readonly connections: number }
  | { readonly said: "log"; readonly lines: Uint8Array };
