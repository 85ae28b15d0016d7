/**
 * The benchmark: the same load on millrace and on its peers, in one run. `deno task bench --help` tells the options.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { buildLoad, missingCompiler } from "./build.ts";
import { costTable, measureCost } from "./cost.ts";
import { DEFAULT_JOBS, type Job, JOBS } from "./jobs.ts";
import { type Case, type Effort, measure, type Row } from "./measure.ts";
import { libmilterPeer, millracePeer, type Peer } from "./peers.ts";
import { CommandError, proc } from "./process.ts";
import { json, ratio, table } from "./report.ts";

const PEERS = ["inline", "sandbox", "libmilter"] as const;

const HELP =
  `Measures millrace, inline and sandboxed, beside a libmilter filter in C, with a load generator of its own.

  --jobs LIST          of ${JOBS.map((job) => job.name).join(", ")} (${DEFAULT_JOBS.join(",")})
  --transports LIST    of tcp, unix (tcp,unix)
  --connections LIST   connections at once (1,16,200)
  --dialect NAME       how the load generator speaks: postfix or sendmail (postfix)
  --rounds N           rounds of each row, peers in turn (3)
  --seconds S          measured time of each round (3)
  --quick              one round of half a second: a smoke test, not a measurement
  --quiet              wait for a quiet machine, and repeat a round up to 5 times while others disturb it
  --pin                at 1 connection, keep load generator and servers on different processors
  --real-tcp           Nagle's algorithm and delayed ACKs as MTAs have them; without it the load generator keeps
                       such stalls out, which is in favour of libmilter
  --per-connection N   mails before a connection is opened anew (100; 0: never)
  --peers LIST         of ${PEERS.join(", ")} (all); ratios are over the last one
  --instances N        sandboxes side by side (1)
  --cost               instead: what a sandbox costs, start time and memory with 1, 2 and 4 of them
  --log LEVEL          millrace's log level (warn, as libmilter logs no mails; info: a line for each mail)
  --deno-flags FLAGS   further flags for millrace's deno, separated by blanks, for example "--cpu-prof"
  --json FILE          write all figures to FILE
  --help

Jobs:
${JOBS.map((job) => `  ${job.name.padEnd(16)} ${job.what}`).join("\n")}
`;

/** A wrong option; ends the program with 2. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

interface Options {
  readonly jobs: readonly Job[];
  readonly transports: readonly Case["transport"][];
  readonly connections: readonly number[];
  readonly dialect: Case["dialect"];
  readonly effort: Effort;
  readonly peers: readonly (typeof PEERS)[number][];
  readonly instances: number;
  readonly cost: boolean;
  readonly log: string;
  readonly denoFlags: readonly string[];
  readonly json: string | undefined;
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value);
  if (found) return found;
  throw new UsageError(`--${option} has "${value}", expected of ${allowed.join(", ")}`);
}

function positive(option: string, value: string, least = 0.1): number {
  const number = Number(value);
  if (number >= least) return number;
  throw new UsageError(`--${option} has "${value}", expected a number of at least ${least}`);
}

function listOf(value: string): string[] {
  return value.split(",").map((item) => item.trim()).filter(Boolean);
}

function readOptions(args: readonly string[]): Options | "help" {
  const texts = [
    "jobs",
    "transports",
    "connections",
    "dialect",
    "rounds",
    "seconds",
    "per-connection",
  ] as const;
  const more = ["peers", "instances", "log", "deno-flags", "json"] as const;
  const given = parseArgs([...args], {
    string: [...texts, ...more],
    boolean: ["quick", "quiet", "pin", "real-tcp", "cost", "help"],
    unknown(name) {
      throw new UsageError(`"${name}" is no option of the benchmark; --help lists them`);
    },
  });
  if (given.help) return "help";
  const quick = given.quick;
  const loadOptions = given["real-tcp"] ? ["--real-tcp"] : [];
  if (given["per-connection"]) {
    loadOptions.push("--per-connection", `${positive("per-connection", given["per-connection"], 0)}`);
  }
  const names = JOBS.map((job) => job.name);
  return {
    jobs: listOf(given.jobs ?? DEFAULT_JOBS.join()).map((name) =>
      JOBS.find((job) => job.name === oneOf("jobs", name, names))!
    ),
    transports: listOf(given.transports ?? "tcp,unix").map((name) =>
      oneOf("transports", name, ["tcp", "unix"])
    ),
    connections: listOf(given.connections ?? "1,16,200").map((n) => positive("connections", n, 1)),
    dialect: oneOf("dialect", given.dialect ?? "postfix", ["postfix", "sendmail"]),
    effort: {
      rounds: positive("rounds", given.rounds ?? (quick ? "1" : "3"), 1),
      seconds: positive("seconds", given.seconds ?? (quick ? "0.5" : "3")),
      warmup: quick ? 0.3 : 1.5,
      pin: given.pin,
      retries: given.quiet ? 5 : 0,
      loadOptions,
    },
    peers: listOf(given.peers ?? PEERS.join()).map((name) => oneOf("peers", name, PEERS)),
    instances: positive("instances", given.instances ?? "1", 1),
    cost: given.cost,
    log: oneOf("log", given.log ?? "warn", ["debug", "info", "warn", "error"]),
    denoFlags: (given["deno-flags"] ?? "").split(" ").filter(Boolean),
    json: given.json,
  };
}

function machine(): string {
  const cpuInfo = proc("cpuinfo");
  const model = /^model name\s*:\s*(.*)$/m.exec(cpuInfo)?.[1] ?? "unknown processor";
  const memory = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  const load = Deno.loadavg()[0].toFixed(2);
  return `${navigator.hardwareConcurrency} × ${model}, ${memory} GiB, Linux ${Deno.osRelease()}, load average ${load}`;
}

function cases(options: Options): Case[] {
  return options.jobs.flatMap((job) =>
    options.transports.flatMap((transport) =>
      options.connections.map((connections) => ({ job, transport, connections, dialect: options.dialect }))
    )
  );
}

/** What must be known to compare the figures with others. */
function conditions({ dialect, effort, log }: Options): string {
  return [
    `${dialect}-like, 20 header fields a mail`,
    effort.loadOptions.includes("--per-connection") ? effort.loadOptions.join(" ") : "100 mails a connection",
    effort.loadOptions.includes("--real-tcp") ? "TCP as MTAs have it" : "TCP without Nagle stalls",
    `medians of ${effort.rounds} rounds of ${effort.seconds} s`,
    effort.retries > 0 ? "disturbed rounds repeated" : "disturbed rounds kept",
    effort.pin ? "at 1 connection load and server on a processor each" : "processors as the kernel likes",
    `millrace logs from level ${log}`,
  ].join("; ");
}

function peerNamed(name: (typeof PEERS)[number], options: Options, folder: string): Promise<Peer> | Peer {
  if (name === "libmilter") return libmilterPeer(folder);
  const { log: logLevel, denoFlags, instances } = options;
  return millracePeer({ isolation: name === "inline" ? "none" : "sandbox", instances, logLevel, denoFlags });
}

async function run(options: Options, folder: string): Promise<void> {
  const program = await buildLoad(folder);
  const peers: Peer[] = [];
  for (const name of options.peers) peers.push(await peerNamed(name, options, folder));
  const about = {
    machine: machine(),
    versions: peers.map((peer) => peer.version),
    load: conditions(options),
    date: new Date().toISOString(),
  };
  for (const line of [about.machine, ...about.versions, about.load]) console.log(line);
  const rows: Row[] = [];
  for (const what of cases(options)) {
    const row = await measure(program, peers, what, options.effort, folder);
    rows.push(row);
    const rates = peers.map(({ name }) => {
      const over = ratio(row, name, peers[peers.length - 1].name)!.median.toFixed(2);
      return `${name} ${
        row.samples.get(name)!.map(({ load }) => Math.round(load.rate)).join(", ")
      } (${over})`;
    });
    console.error(`${what.job.name} ${what.transport} ${what.connections}: mails/s ${rates.join("; ")}`);
  }
  console.log(`\n${table(rows, peers.map((peer) => peer.name))}`);
  if (options.json) await Deno.writeTextFile(options.json, json(rows, about));
}

async function printCost({ effort, json: file }: Options, folder: string): Promise<void> {
  const about = { machine: machine(), date: new Date().toISOString() };
  const rows = await measureCost(await buildLoad(folder), effort, folder);
  console.log(`${about.machine}\n\n${costTable(rows)}`);
  if (file) await Deno.writeTextFile(file, `${JSON.stringify({ ...about, rows }, null, 2)}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === "help") {
      console.log(HELP);
      return 0;
    }
    const missing = await missingCompiler();
    if (missing) {
      console.error(`The benchmark cannot be built: ${missing}`);
      return 1;
    }
    const folder = await Deno.makeTempDir({ prefix: "millrace-bench-" });
    try {
      await (options.cost ? printCost(options, folder) : run(options, folder));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    return 0;
  } catch (error) {
    if (error instanceof UsageError || error instanceof CommandError) {
      console.error(error.message);
      return error instanceof UsageError ? 2 : 1;
    }
    throw error;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
