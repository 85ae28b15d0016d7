/**
 * From samples to figures, and from figures to a table or JSON.
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

/** A peer's figures in one row. Times in microseconds, memory in KiB. */
export interface Figures {
  readonly rate: Spread;
  readonly p50: Spread;
  readonly p90: Spread;
  readonly p99: Spread;
  readonly setup: Spread;
  readonly cpuPerMail: Spread;
  readonly rss: number;
  readonly peak: number;
  /** SMFIP_* word that the filter answered with. */
  readonly protocol: number;
  /** How busy the load generator was, 1 being a whole core: near 1, it was the limit and not the filter. */
  readonly loadBusy: number;
  /** Processors that other programs kept busy meanwhile: well above 0, the row says little. */
  readonly others: number;
}

/** Condenses one peer's rounds. */
export function figures(samples: readonly Sample[]): Figures {
  const of = (pick: (sample: Sample) => number) => spread(samples.map(pick));
  return {
    rate: of((s) => s.load.rate),
    p50: of((s) => s.load.latency_us.p50),
    p90: of((s) => s.load.latency_us.p90),
    p99: of((s) => s.load.latency_us.p99),
    setup: of((s) => s.load.setup_us.p50),
    cpuPerMail: of((s) => s.cpuPerMail),
    rss: of((s) => s.rss).median,
    peak: of((s) => s.peak).most,
    protocol: samples[0].load.negotiated.protocol,
    loadBusy: of((s) => s.load.cpu_seconds * s.load.rate / s.load.all_messages).median,
    others: of((s) => s.others).median,
  };
}

/** messages/s of one peer over another's, round by round. */
export function ratio(row: Row, peer: string, base: string): Spread | undefined {
  const own = row.samples.get(peer), other = row.samples.get(base);
  if (!own || !other) return undefined;
  return spread(own.map((sample, round) => sample.load.rate / other[round].load.rate));
}

function integer(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}

/** A value with half its range in percent of it: `12,345 ±3%`. */
export function withSpread({ median, least, most }: Spread): string {
  const half = Math.round((most - least) / 2 / median * 100);
  return `${integer(median)} ±${half}%`;
}

/** Lays out cells in Markdown; the first `left` columns are aligned to the left. */
export function markdown(
  head: readonly string[],
  lines: readonly (readonly string[])[],
  left: number,
): string {
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i].length)));
  const text = (cells: readonly string[]) =>
    `| ${cells.map((c, i) => i < left ? c.padEnd(widths[i]) : c.padStart(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((w, i) => i < left ? "-".repeat(w) : "-".repeat(w - 1) + ":").join(" | ")} |`;
  return [text(head), rule, ...lines.map(text)].join("\n");
}

/** The table, peers in their order; ratios are over the last peer. */
export function table(rows: readonly Row[], peers: readonly string[]): string {
  const others = peers.slice(0, -1), base = peers[peers.length - 1];
  const each = (row: Row, show: (figures: Figures) => string) =>
    peers.map((peer) => show(figures(row.samples.get(peer)!))).join(" / ");
  const head = [
    "job",
    "socket",
    "conns",
    ...peers.map((peer) => `${peer} mails/s`),
    ...others.map((peer) => `${peer} / ${base}`),
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "set-up ms",
    "CPU µs/mail",
    "peak MiB",
    "other CPU",
  ];
  const ms = (pick: (figures: Figures) => Spread) => (f: Figures) => (pick(f).median / 1000).toFixed(2);
  const lines = rows.map((row) => [
    row.case.job.name,
    row.case.transport,
    `${row.case.connections}`,
    ...peers.map((peer) => withSpread(figures(row.samples.get(peer)!).rate)),
    ...others.map((peer) => {
      const r = ratio(row, peer, base)!;
      return `${r.median.toFixed(2)} (${r.least.toFixed(2)}-${r.most.toFixed(2)})`;
    }),
    each(row, ms((f) => f.p50)),
    each(row, ms((f) => f.p90)),
    each(row, ms((f) => f.p99)),
    each(row, ms((f) => f.setup)),
    each(row, (f) => integer(f.cpuPerMail.median)),
    each(row, (f) => (f.peak / 1024).toFixed(0)),
    each(row, (f) => f.others.toFixed(1)),
  ]);
  return markdown(head, lines, 2);
}

/** Everything that was measured, for `--json`. */
export function json(rows: readonly Row[], about: Readonly<Record<string, unknown>>): string {
  const body = rows.map((row) => ({
    job: row.case.job.name,
    transport: row.case.transport,
    connections: row.case.connections,
    dialect: row.case.dialect,
    peers: Object.fromEntries(
      [...row.samples].map(([peer, samples]) => [peer, { ...figures(samples), samples }]),
    ),
  }));
  return `${JSON.stringify({ ...about, rows: body }, null, 2)}\n`;
}
