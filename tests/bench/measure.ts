/**
 * One row of the table: every peer under the same load, in interleaved rounds.
 *
 * @module
 */
import type { Job } from "./jobs.ts";
import type { Peer } from "./peers.ts";
import {
  attempt,
  bound,
  CommandError,
  freeSocket,
  machineBusy,
  output,
  type Server,
  type Socket,
  usage,
} from "./process.ts";

/** What a row is measured with. */
export interface Case {
  readonly job: Job;
  readonly transport: Socket["transport"];
  readonly connections: number;
  readonly dialect: "postfix" | "sendmail";
}

/** How long and how often. */
export interface Effort {
  readonly rounds: number;
  /** Measured seconds of each round, at least; the load generator goes on if mails are too slow. */
  readonly seconds: number;
  /** Unmeasured seconds at the start of the first round, for the just-in-time compiler; a quarter of it later. */
  readonly warmup: number;
  /**
   * Bind the load generator to processor 0 and the servers to processor 1 where there is one connection: nothing can
   * run in parallel there, and the kernel's choice of one processor or two for a pair of threads outweighs all else.
   */
  readonly pin: boolean;
  /** Wait for the machine to be quiet, and repeat what was disturbed, so many times at most. */
  readonly retries: number;
  /** Further options for the load generator. */
  readonly loadOptions: readonly string[];
}

/** The line that the load generator prints. Times in microseconds, those of mails that began in the measured time. */
export interface LoadResult {
  /** Mails that were answered in the measured time. */
  readonly messages: number;
  /** The measured time: at least what was asked for, and until there were as many mails as connections. */
  readonly seconds: number;
  /** Mails a second, parts of mails counted by their replies. */
  readonly rate: number;
  readonly latency_us: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  };
  readonly setup_us: { readonly p50: number; readonly p99: number };
  /** Of the places among the connections, the one with the fewest mails and the one with the most. */
  readonly least_messages: number;
  readonly most_messages: number;
  readonly all_messages: number;
  readonly sessions: number;
  readonly frames: number;
  readonly replies: number;
  readonly negotiated: { readonly version: number; readonly actions: number; readonly protocol: number };
  readonly cpu_seconds: number;
  readonly errors: number;
}

/** One peer's share of one round. */
export interface Sample {
  readonly load: LoadResult;
  /** CPU time of the server for each mail, in microseconds. */
  readonly cpuPerMail: number;
  /** Resident memory after the round and at its highest since the start, in KiB. */
  readonly rss: number;
  readonly peak: number;
  /** Processors kept busy meanwhile by anything but this server and the load generator. */
  readonly others: number;
}

/** A measured row. */
export interface Row {
  readonly job: string;
  readonly transport: Socket["transport"];
  readonly connections: number;
  readonly dialect: Case["dialect"];
  /** For each peer by name its samples, one a round; those that failed are not here. */
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
  /** For each peer that did not start, or answered wrongly, what it said. */
  readonly failures: Readonly<Record<string, string>>;
}

/**
 * Runs the load generator once.
 *
 * @throws {CommandError} if any answer was wrong, late or missing
 */
export async function runLoad(program: string, args: readonly string[]): Promise<LoadResult> {
  // The program fails by itself on any wrong answer; its output is its own.
  return JSON.parse(await output(program, args)) as LoadResult;
}

/** The options of the load generator for a job. */
export function loadArgs(job: Job, socket: Socket, filters: number): string[] {
  return ["--socket", socket.spec, "--job", job.check, "--body", `${job.body}`, "--filters", `${filters}`];
}

async function sample(
  program: string,
  what: Case,
  { peer, socket, server }: Running,
  effort: Effort,
  warmup: number,
): Promise<Sample> {
  const before = usage(server.pid), busyBefore = machineBusy(), start = performance.now();
  const [first, ...rest] = bound(effort.pin && what.connections === 1 ? "0" : undefined, [
    program,
    ...loadArgs(what.job, socket, peer.filters(what.job)),
    ...["--connections", `${what.connections}`, "--dialect", what.dialect],
    ...["--seconds", `${effort.seconds}`, "--warmup", `${warmup}`, ...effort.loadOptions],
  ]);
  const load = await server.watch(() => runLoad(first, rest));
  if (load.latency_us.p99 === 0) {
    throw new CommandError(
      `No mail began and was answered in ${load.seconds} s: it is too slow for this load`,
    );
  }
  const after = usage(server.pid), busy = machineBusy() - busyBefore;
  const cpu = after.cpu - before.cpu;
  const others = Math.max(0, busy - cpu - load.cpu_seconds) / ((performance.now() - start) / 1000);
  return { load, cpuPerMail: cpu * 1e6 / load.all_messages, rss: after.rss, peak: after.peak, others };
}

/** Above this many processors busy with something else, a sample counts as disturbed. */
const DISTURBED = 0.2;

/** Waits until other programs leave the machine alone, 10 seconds at most. */
async function quiet(): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    const before = machineBusy();
    await new Promise((resolve) => setTimeout(resolve, 500));
    if ((machineBusy() - before) / 0.5 < DISTURBED) return;
  }
}

/** A sample that nothing disturbed; else the least disturbed of all tries. */
async function quietSample(retries: number, once: () => Promise<Sample>): Promise<Sample> {
  if (retries > 0) await quiet();
  let best = await once();
  for (let tries = 0; tries < retries && best.others > DISTURBED; tries++) {
    await quiet();
    const again = await once();
    if (again.others < best.others) best = again;
  }
  return best;
}

interface Running {
  readonly peer: Peer;
  readonly socket: Socket;
  readonly server: Server;
}

/**
 * Measures one row. All peers run all the time, each under load in turn, the order reversed from round to round, so
 * that a change in the machine's mood meets all of them. A peer that fails is left out from then on, and the row says
 * so.
 */
export async function measure(
  program: string,
  peers: readonly Peer[],
  what: Case,
  effort: Effort,
  folder: string,
): Promise<Row> {
  const running = new Map<string, Running>();
  const samples: Record<string, Sample[]> = {};
  const failures: Record<string, string> = {};
  /** Does something for a peer; a failure is the peer's, and takes its figures with it. */
  async function withPeer(name: string, work: () => Promise<void>): Promise<void> {
    await attempt(name, (_, why) => void (failures[name] = why), work);
    if (failures[name] === undefined) return;
    delete samples[name];
    await running.get(name)?.server.stop();
    running.delete(name);
  }
  try {
    const processors = effort.pin && what.connections === 1 ? "1" : undefined;
    for (const peer of peers.filter((peer) => peer.has(what.job, what.transport))) {
      await withPeer(peer.name, async () => {
        const socket = freeSocket(what.transport, folder, peer.name);
        const server = await peer.start(what.job, socket, folder, processors);
        running.set(peer.name, { peer, socket, server });
        samples[peer.name] = [];
      });
    }
    for (let round = 0; round < effort.rounds; round++) {
      const order = [...running.values()];
      const warmup = round ? effort.warmup / 4 : effort.warmup;
      for (const one of round % 2 ? order.reverse() : order) {
        await withPeer(one.peer.name, async () => {
          const once = () => sample(program, what, one, effort, warmup);
          samples[one.peer.name].push(await quietSample(effort.retries, once));
        });
      }
    }
  } finally {
    await Promise.all([...running.values()].map(({ server }) => server.stop()));
  }
  const { job: { name: job }, transport, connections, dialect } = what;
  return { job, transport, connections, dialect, samples, failures };
}
