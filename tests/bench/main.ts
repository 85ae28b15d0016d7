/**
 * The benchmark: the same load on millrace and on its peers, in one run. `deno task bench --help` tells the options.
 *
 * @module
 */
import { available } from "../mta/mta.ts";
import { buildLoad, missingCompiler } from "./build.ts";
import { chart } from "./chart.ts";
import { type CostEffort, measureCost, setups } from "./cost.ts";
import { longRuns, measureGrowth, measureStreaming } from "./endurance.ts";
import { ratio } from "./figures.ts";
import { type Case, measure, type Row } from "./measure.ts";
import { millracePeer } from "./millrace.ts";
import { HELP, type Options, readOptions, UsageError } from "./options.ts";
import { goMilterPeer, libmilterPeer, type Peer, pymilterPeer } from "./peers.ts";
import { askedFor, measurePostfix, type PostfixResults } from "./postfix.ts";
import { attempt, CommandError, type Failed, output, proc } from "./process.ts";
import { page, verdictTable } from "./report.ts";
import { type About, BASE, type PeerName, type Results } from "./results.ts";
import { verdicts } from "./targets.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

function machine(): string[] {
  const model = /^model name\s*:\s*(.*)$/m.exec(proc("cpuinfo"))?.[1] ?? "unknown processor";
  const memory = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  return [
    `${navigator.hardwareConcurrency} × ${model}, ${memory} GiB of memory, load average before the run ${
      Deno.loadavg()[0].toFixed(2)
    }`,
    `Linux ${Deno.osRelease()}, ${
      /^PRETTY_NAME="(.*)"$/m.exec(Deno.readTextFileSync("/etc/os-release"))?.[1]
    }`,
  ];
}

/** What must be known to compare the figures with others. */
function conditions({ effort, instances, denoFlags }: Options): string[] {
  const { rounds, seconds, retries, pin, loadOptions } = effort;
  return [
    `${rounds} rounds of ${seconds} s, the peers in turn; ${
      retries > 0 ? "disturbed rounds repeated" : "disturbed rounds kept"
    }`,
    "20 header fields a mail, 2 KiB of body (job body: 1 MiB), 100 mails a connection",
    loadOptions.includes("--real-tcp") ? "TCP as MTAs have it" : "load over TCP without Nagle's stalls",
    pin ? "at 1 connection load and server on a processor each" : "processors as the kernel likes",
    "threads: millrace inline with threads: 2, TCP only",
    "millrace logs from level warn, as libmilter logs no mails; a sandbox means one for each filter" +
    (instances > 1 ? `, here ${instances}` : ""),
    ...(denoFlags.length ? [`further flags for Deno: ${denoFlags.join(" ")}`] : []),
  ];
}

function makePeer(name: PeerName, { instances, denoFlags }: Options, folder: string): Peer | Promise<Peer> {
  if (name === "libmilter") return libmilterPeer(folder);
  if (name === "pymilter") return pymilterPeer(folder);
  if (name === "go-milter") return goMilterPeer(folder);
  const threads = name === "threads" ? 2 : 1;
  return millracePeer({ isolation: name === "sandbox" ? "sandbox" : "none", threads, instances, denoFlags });
}

/** Whether a peer is millrace; the part about cost has set-ups of its own for it. */
const isMillrace = ({ name }: Peer) => name === "inline" || name === "threads" || name === "sandbox";

function title({ job, dialect, transport, connections }: Case): string {
  return `${job.name}, ${dialect}, ${transport}, ${connections} conns`;
}

async function measureLoad(
  program: string,
  peers: readonly Peer[],
  { cases, effort }: Options,
  folder: string,
  failed: Failed,
): Promise<Row[]> {
  const perPeer = effort.rounds * effort.seconds + effort.warmup * (1 + (effort.rounds - 1) / 4) + 1;
  const minutes = Math.ceil(cases.length * peers.length * perPeer / 60);
  console.error(`load: ${cases.length} rows, about ${minutes} minutes`);
  const rows: Row[] = [];
  for (const what of cases) {
    const row = await measure(program, peers, what, effort, folder);
    rows.push(row);
    for (const [peer, why] of Object.entries(row.failures)) failed(`${title(what)}: ${peer}`, why);
    const rates = Object.entries(row.samples).map(([peer, samples]) => {
      const over = ratio(row, peer, BASE)?.median.toFixed(2) ?? "–";
      return `${peer} ${samples.map(({ load }) => Math.round(load.rate)).join(", ")} (${over})`;
    });
    console.error(`${rows.length}/${cases.length} ${title(what)}: mails/s ${rates.join("; ")}`);
  }
  return rows;
}

async function postfix(
  peers: readonly Peer[],
  { effort, quick }: Options,
  folder: string,
  failed: Failed,
): Promise<PostfixResults | undefined> {
  const missing = available();
  if (missing !== undefined) {
    failed("real Postfix", missing);
    return undefined;
  }
  console.error("postfix: about half a minute for each round");
  const asked = askedFor(
    // One client at a time keeps no second thread busy.
    peers.filter((peer) => isMillrace(peer) && peer.name !== "threads" || peer.name === BASE),
  );
  const often = { rounds: effort.rounds, passes: quick ? 5 : 40 };
  return await attempt("real Postfix", failed, () => measurePostfix(asked, often, folder, failed));
}

/** What failed, told loudly at once, and kept by reason: the first line that a command said, below the command itself. */
function failures(): { readonly failed: Failed; readonly notes: () => string[] } {
  const byReason = new Map<string, string[]>();
  return {
    failed(name, why) {
      console.error(`NOT MEASURED: ${name}: ${why}`);
      const lines = why.trim().split("\n");
      const reason = (lines[1] ?? lines[0]).trim().slice(0, 200);
      byReason.set(reason, [...byReason.get(reason) ?? [], name]);
    },
    notes: () => [...byReason].map(([reason, names]) => `${names.join("; ")}: ${reason}`),
  };
}

async function run(options: Options, command: string, folder: string): Promise<Results> {
  const { parts, effort, quick } = options;
  const { failed, notes } = failures();
  const program = await buildLoad(folder);
  const peers: Peer[] = [];
  for (const name of options.peers) {
    const peer = await attempt(name, failed, async () => await makePeer(name, options, folder));
    if (peer) peers.push(peer);
  }
  const versions = peers.map(({ version }) => version);
  const about: About = {
    command,
    date: new Date().toISOString(),
    machine: machine(),
    versions,
    conditions: conditions(options),
  };
  for (const line of [...about.machine, ...versions, ...about.conditions]) console.error(line);
  const load = parts.load ? await measureLoad(program, peers, options, folder, failed) : [];
  const costEffort: CostEffort = {
    ...{ rounds: effort.rounds, seconds: effort.seconds, mails: options.mails },
    ...{ settle: quick ? 100 : 1000, connections: 1000 },
  };
  const all = setups(peers.filter((peer) => !isMillrace(peer)))
    .filter(({ peer }) => options.peers.some((name) => name === peer.name));
  if (parts.cost) console.error(`cost: ${all.length} set-ups; ${costEffort.mails} mails four times`);
  const costs = parts.cost ? await measureCost(program, all, costEffort, folder, failed) : [];
  const growth = parts.cost ? await measureGrowth(program, longRuns(), costEffort, folder, failed) : [];
  const streaming = parts.cost ? await measureStreaming(program, all, folder, failed) : [];
  const waits = parts.postfix ? await postfix(peers, options, folder, failed) : undefined;
  if (waits) versions.push(`Postfix ${waits.version}`);
  return { about, notes: notes(), load, costs, growth, streaming, postfix: waits };
}

/** Both files, laid out as everything else in the repository. */
async function write(results: Results, out: string): Promise<void> {
  const text = `${out}/RESULTS.md`, picture = `${out}/results.svg`;
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeTextFile(picture, chart(results));
  await Deno.writeTextFile(text, page(results, "results.svg"));
  await output(Deno.execPath(), ["fmt", "--quiet", "--config", `${ROOT}deno.json`, text, picture]);
  console.log(`${verdictTable(verdicts(results))}\n\nWritten: ${text}, ${picture}`);
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
      const command = ["deno task bench", ...args].join(" ");
      const results = await run(options, command, folder);
      if (options.json) await Deno.writeTextFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
      if (options.out) await write(results, options.out);
      else console.log(page(results, "results.svg"));
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
