/**
 * From samples to figures: medians, spreads, ratios round by round. Pure.
 *
 * @module
 */
import type { Row, Sample } from "./measure.ts";

/** Median, and the least and most of what was seen. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The spread of one or more values. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], most: sorted[sorted.length - 1] };
}

/** The same spread in another unit. */
export function scaled({ median, least, most }: Spread, factor: number): Spread {
  return { median: median * factor, least: least * factor, most: most * factor };
}

/** Mails a second of a sample. */
export const rate = (sample: Sample): number => sample.load.rate;
/** The 99th percentile of the time for a mail, µs. */
export const p99 = (sample: Sample): number => sample.load.latency_us.p99;

/** A peer's figures in one row. Times in microseconds, memory in KiB. */
export interface Figures {
  readonly rate: Spread;
  readonly p50: Spread;
  readonly p90: Spread;
  readonly p99: Spread;
  /** From connect(2) to the answer to the negotiation. */
  readonly setup: Spread;
  readonly cpuPerMail: Spread;
  /** The most that was ever resident. */
  readonly peak: number;
  /** Processors that other programs kept busy meanwhile: well above 0, the row says little. */
  readonly others: number;
}

/** Condenses one peer's rounds. */
export function figures(samples: readonly Sample[]): Figures {
  const of = (pick: (sample: Sample) => number) => spread(samples.map(pick));
  return {
    rate: of(rate),
    p50: of((s) => s.load.latency_us.p50),
    p90: of((s) => s.load.latency_us.p90),
    p99: of(p99),
    setup: of((s) => s.load.setup_us.p50),
    cpuPerMail: of((s) => s.cpuPerMail),
    peak: of((s) => s.peak).most,
    others: of((s) => s.others).median,
  };
}

/** One peer's figure over another's, round by round; undefined where one of them has none. */
export function ratio(
  row: Row,
  peer: string,
  base: string,
  pick: (sample: Sample) => number = rate,
): Spread | undefined {
  const own = row.samples[peer], other = row.samples[base];
  if (!own?.length || !other?.length) return undefined;
  return spread(own.map((sample, round) => pick(sample) / pick(other[round])));
}
