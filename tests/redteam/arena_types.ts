/** What arena and test tell each other. */
import type { Failure } from "../../src/session/policy.ts";

/** A look at the process from outside. */
export interface Measure {
  readonly threads: number;
  /** KiB. */
  readonly rss: number;
  /** Processor time so far, ms. */
  readonly cpu: number;
}

/** What became of one hostile filter. */
export interface Outcome {
  readonly name: string;
  readonly tries: string;
  readonly rounds: number;
  /** How its mails ended, counted. */
  readonly kinds: Readonly<Record<string, number>>;
  /** What it got hold of. */
  readonly got: readonly string[];
  /** What must not have happened. */
  readonly wrong: readonly string[];
  /** Lines that it brought about in the log. */
  readonly lines: number;
  readonly goodMails: number;
}

/** The whole run. */
export interface ArenaEnd {
  readonly before: Measure;
  readonly after: Measure;
  /** Processor time in half an idle second, ms. */
  readonly idleCpu: number;
  /** Heap of the runtime's own isolate at the end, bytes. */
  readonly own: number;
  readonly mails: number;
  readonly wrong: readonly string[];
  readonly slowest: number;
  readonly failures: readonly Failure[];
}
