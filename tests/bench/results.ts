/**
 * Everything that one run of the benchmark has found; what tables, chart and verdicts are made of.
 *
 * @module
 */
import type { Cost } from "./cost.ts";
import type { Growth, Streaming } from "./endurance.ts";
import type { Row } from "./measure.ts";
import type { PostfixResults } from "./postfix.ts";

/** Where and how it was measured: one sentence each. */
export interface About {
  readonly command: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: readonly string[];
  readonly versions: readonly string[];
  readonly conditions: readonly string[];
}

/** The figures of a run. */
export interface Results {
  readonly about: About;
  /** What could not be measured, and why. */
  readonly notes: readonly string[];
  readonly load: readonly Row[];
  readonly costs: readonly Cost[];
  readonly growth: readonly Growth[];
  readonly streaming: readonly Streaming[];
  readonly postfix: PostfixResults | undefined;
}

/** All that can be measured, in the order of the tables. */
export const PEERS = ["inline", "threads", "sandbox", "libmilter", "pymilter", "go-milter"] as const;
/** One of them. */
export type PeerName = (typeof PEERS)[number];
/** The peer that all ratios are over. */
export const BASE: PeerName = "libmilter";
