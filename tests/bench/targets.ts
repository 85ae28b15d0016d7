/**
 * What millrace has set itself to reach, and whether a run has reached it. Pure.
 *
 * @module
 */
import type { Cost } from "./cost.ts";
import type { Growth } from "./endurance.ts";
import { p99, ratio, scaled, type Spread, spread } from "./figures.ts";
import type { Row, Sample } from "./measure.ts";
import type { Wait } from "./postfix.ts";
import { BASE, type Results } from "./results.ts";

/** Whether a target is reached by the median. */
export type Word = "met" | "missed" | "not measured";

/** One target and what was found. */
export interface Verdict {
  /** What is measured, and at how many connections and on which socket. */
  readonly what: string;
  /** For example `≥ 1.50`. */
  readonly wanted: string;
  readonly found: Spread | undefined;
  /** Digits after the decimal point. */
  readonly digits: number;
  readonly word: Word;
}

function verdict(
  what: string,
  sense: "≥" | "≤" | "<",
  bound: number | undefined,
  unit: string,
  found: Spread | undefined,
  digits = 2,
): Verdict {
  const wanted = `${sense} ${bound === undefined ? "?" : bound.toFixed(digits)}${unit}`;
  if (found === undefined || bound === undefined) {
    return { what, wanted, found, digits, word: "not measured" };
  }
  const { median } = found;
  const met = sense === "≥" ? median >= bound : sense === "≤" ? median <= bound : median < bound;
  return { what, wanted, found, digits, word: met ? "met" : "missed" };
}

const TRANSPORTS = ["unix", "tcp"] as const;

function rowOf(rows: readonly Row[], job: string, transport: string, connections: number): Row | undefined {
  return rows.find((row) =>
    row.job === job && row.transport === transport && row.connections === connections &&
    row.dialect === "postfix"
  );
}

/** mails/s, or another figure, of a peer over libmilter's, on the sockets that it serves. */
function overBase(
  rows: readonly Row[],
  [job, peer]: readonly [job: string, peer: string],
  connections: number,
  sense: "≥" | "≤",
  bound: number,
  pick?: (sample: Sample) => number,
): Verdict[] {
  return TRANSPORTS.filter((transport) => peer !== "threads" || transport === "tcp").map((transport) => {
    const row = rowOf(rows, job, transport, connections);
    const figure = pick ? "p99" : "mails/s";
    const what = `${job} ${peer}, ${connections} conns, ${transport}: ${figure} / ${BASE}`;
    return verdict(what, sense, bound, "", row && ratio(row, peer, BASE, pick));
  });
}

function speed(rows: readonly Row[]): Verdict[] {
  const over = (job: string, peer: string, bounds: Readonly<Record<number, number>>) =>
    Object.entries(bounds).flatMap(([conns, bound]) =>
      overBase(rows, [job, peer], Number(conns), "≥", bound)
    );
  const slowest = (job: string, peer: string, conns: number, bound: number) =>
    overBase(rows, [job, peer], conns, "≤", bound, p99);
  return [
    ...["noop", "headers"].flatMap((job) => [
      ...over(job, "inline", { 1: 1, 16: 1.5, 200: 1.5 }),
      ...over(job, "threads", { 16: 1.5, 200: 1.5 }),
      ...slowest(job, "inline", 16, 1),
      ...slowest(job, "inline", 200, 1),
    ]),
    ...over("headers", "sandbox", { 1: 0.5, 16: 1, 200: 1.2 }),
    ...over("message", "inline", { 1: 4, 16: 4, 200: 4 }),
    ...over("message", "sandbox", { 1: 3, 16: 3, 200: 3.5 }),
    ...slowest("message", "sandbox", 200, 1 / 3),
    ...over("chain", "sandbox", { 16: 1.5 }),
    ...over("body", "inline", { 1: 1, 16: 1, 200: 1 }),
    ...over("body", "threads", { 16: 1, 200: 1 }),
    ...["noop", "headers", "message", "body"].map((job) => overPymilter(rows, job)),
  ];
}

/** The least of all numbers of connections and sockets. */
function overPymilter(rows: readonly Row[], job: string): Verdict {
  const found = [1, 16, 200].flatMap((conns) =>
    TRANSPORTS.flatMap((transport) => {
      const row = rowOf(rows, job, transport, conns);
      return (row && ratio(row, "inline", "pymilter")) ?? [];
    })
  );
  const least = found.toSorted((a, b) => a.median - b.median).at(0);
  return verdict(
    `${job} inline, the least of 1, 16, 200 conns, unix, tcp: mails/s / pymilter`,
    "≥",
    3,
    "",
    least,
  );
}

const MIB = 1 / 1024;

function memory(costs: readonly Cost[]): Verdict[] {
  const inline = costs.find(({ sandboxes }) => sandboxes === 0);
  const states = [["just started", "idle"], ["after load on 16 conns", "loaded"]] as const;
  const sandboxes = [1, 4].flatMap((count) => {
    const set = costs.find(({ sandboxes }) => sandboxes === count);
    return states.map(([when, key]) => {
      const found = set && inline && perSandbox(set, inline, key);
      const what = `memory of each sandbox on top of inline, ${count} of them, ${when}`;
      return verdict(what, "≤", 25, " MiB", found && scaled(found, MIB), 1);
    });
  });
  const idle = [0, 1].map((count) => {
    const set = costs.find(({ sandboxes }) => sandboxes === count);
    const name = count ? "sandbox" : "inline";
    return verdict(`memory of an idle connection, ${name}, 1,000 conns`, "≤", 20, " KiB", set?.connection, 1);
  });
  const base = states.map(([when, key]) => {
    return verdict(
      `resident memory, inline, ${when}`,
      "≤",
      70,
      " MiB",
      inline && scaled(inline[key], MIB),
      1,
    );
  });
  return [...idle, ...base, ...sandboxes];
}

/** What one sandbox adds to a process without any, KiB; with the least and the most taken from its own spread. */
export function perSandbox(set: Cost, inline: Cost, key: "idle" | "loaded"): Spread {
  const each = (value: number) => (value - inline[key].median) / (set.sandboxes || 1);
  const { median, least, most } = set[key];
  return { median: each(median), least: each(least), most: each(most) };
}

/**
 * Growth of the memory in parts of what it was, from the first half of a run to the second. The least of each half is
 * compared, as garbage comes and goes; the first part of the run, in which the process takes its size, counts for neither.
 */
export function growthOf({ resident }: Growth): number {
  const half = resident.length / 2;
  const before = Math.min(...resident.slice(1, half)), after = Math.min(...resident.slice(half));
  return (after - before) / before;
}

function endurance({ growth, streaming }: Results): Verdict[] {
  const runs = growth.length
    ? growth.map((run) => [run.name, run] as const)
    : [["inline", undefined] as const];
  const flat = runs.map(([name, run]) => {
    const found = run && scaled(spread([growthOf(run)]), 100);
    const mails = run ? run.mails.toLocaleString("en-GB") : "very many";
    return verdict(`growth of memory over ${mails} mails, ${name}`, "≤", 5, " %", found, 1);
  });
  const large = ["inline", "sandbox × 1"].map((name) => {
    const one = streaming.find((one) => one.name === name);
    const found = one && scaled(spread([one.large - one.small]), MIB);
    return verdict(`peak memory, mails of 50 MiB less mails of 1 MiB, ${name}`, "≤", 10, " MiB", found, 1);
  });
  return [...flat, ...large];
}

function realPostfix(waits: readonly Wait[]): Verdict[] {
  const tcp = waits.find(({ name, transport }) => name === `${BASE} headers` && transport === "tcp");
  const own = waits.filter(({ name }) => name.startsWith("inline") || name.startsWith("sandbox"));
  if (own.length === 0) {
    return [verdict("real Postfix: wait more than without a milter", "≤", 1, " ms", undefined)];
  }
  return own.flatMap(({ name, transport, more, reply }) => [
    verdict(`real Postfix, ${name}, ${transport}: wait more than without a milter`, "≤", 1, " ms", more),
    verdict(
      `real Postfix, ${name}, ${transport}: wait less than with ${BASE} over TCP`,
      "<",
      tcp?.reply.median,
      " ms",
      reply,
    ),
  ]);
}

/** The targets of all parts that were measured, in the order of the tables. */
export function verdicts(results: Results): readonly Verdict[] {
  const { load, costs, postfix } = results;
  return [
    ...(load.length ? speed(load) : []),
    ...(costs.length ? [...memory(costs), ...endurance(results)] : []),
    ...(postfix ? realPostfix(postfix.waits) : []),
  ];
}
