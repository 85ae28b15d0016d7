/**
 * What a sandbox costs besides speed: time to start, and memory.
 *
 * @module
 */
import { JOBS } from "./jobs.ts";
import { type Effort, runLoad } from "./measure.ts";
import { millracePeer } from "./peers.ts";
import { CommandError, freeSocket, usage } from "./process.ts";
import { markdown, type Spread, spread, withSpread } from "./report.ts";

/** One set-up of millrace. Times in milliseconds, memory in KiB. */
export interface Cost {
  readonly name: string;
  readonly sandboxes: number;
  /** From the start of the process until its socket answered. */
  readonly started: Spread;
  /** Of that, from millrace's first line until its filter was ready. */
  readonly ready: Spread;
  /** Resident when it had just started, and after load on 16 connections. */
  readonly idle: Spread;
  readonly loaded: Spread;
}

const job = JOBS.find(({ name }) => name === "headers")!;

/** Time between two lines of the log that say so, ms. */
function between(log: string, first: RegExp, second: RegExp): number {
  const lines = log.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const time = (what: RegExp) =>
    Date.parse(lines.find(({ message }) => what.test(String(message)))?.time ?? "");
  const ms = time(second) - time(first);
  if (Number.isNaN(ms)) throw new CommandError(`Cannot find ${first} and ${second} in the log:\n${log}`);
  return ms;
}

/** Starts each set-up `effort.rounds` times, in turns. */
export async function measureCost(load: string, effort: Effort, folder: string): Promise<readonly Cost[]> {
  const setups = [0, 1, 2, 4].map((sandboxes) => ({
    sandboxes,
    peer: millracePeer({
      isolation: sandboxes === 0 ? "none" : "sandbox",
      instances: Math.max(1, sandboxes),
      logLevel: "info",
    }),
    started: [] as number[],
    ready: [] as number[],
    idle: [] as number[],
    loaded: [] as number[],
  }));
  for (let round = 0; round < effort.rounds; round++) {
    for (const { peer, started, ready, idle, loaded } of setups) {
      const socket = freeSocket("unix", folder, peer.name);
      const server = await peer.start(job, socket, folder);
      try {
        started.push(server.startedAfter);
        ready.push(between(server.said(), /^millrace .* starts with/, /for a hook/));
        idle.push(usage(server.pid).rss);
        await server.watch(() =>
          runLoad(load, [
            ...["--socket", socket.spec, "--connections", "16", "--dialect", "postfix"],
            ...["--job", job.check, "--body", `${job.body}`],
            ...["--seconds", `${effort.seconds}`, "--warmup", `${effort.warmup}`],
          ])
        );
        loaded.push(usage(server.pid).rss);
      } finally {
        await server.stop();
      }
    }
  }
  return setups.map(({ sandboxes, started, ready, idle, loaded }) => ({
    name: sandboxes === 0 ? "inline" : `sandbox × ${sandboxes}`,
    sandboxes,
    started: spread(started),
    ready: spread(ready),
    idle: spread(idle),
    loaded: spread(loaded),
  }));
}

/** The table; the last columns are what each sandbox takes on top of `inline`. */
export function costTable(rows: readonly Cost[]): string {
  const [inline] = rows;
  const mib = ({ median, least, most }: Spread) =>
    `${(median / 1024).toFixed(1)} (${(least / 1024).toFixed(1)}-${(most / 1024).toFixed(1)})`;
  const more = (row: Cost, pick: (row: Cost) => Spread) =>
    row.sandboxes === 0 ? "" : ((pick(row).median - pick(inline).median) / 1024 / row.sandboxes).toFixed(1);
  return markdown(
    [
      "filter",
      "start ms",
      "filter ready ms",
      "idle MiB",
      "loaded MiB",
      "MiB each, idle",
      "MiB each, loaded",
    ],
    rows.map((row) => [
      row.name,
      withSpread(row.started),
      withSpread(row.ready),
      mib(row.idle),
      mib(row.loaded),
      more(row, (r) => r.idle),
      more(row, (r) => r.loaded),
    ]),
    1,
  );
}
