/**
 * millrace as a peer of the benchmark.
 *
 * @module
 */
import { IMPORT_MAP, MAIN, run } from "../helpers/program.ts";
import type { Job } from "./jobs.ts";
import type { Peer } from "./peers.ts";
import { CommandError, type Socket, startServer } from "./process.ts";

const here = import.meta.dirname!;
const ROOT = new URL("../../", import.meta.url).pathname;

/** Where millrace runs its filters. */
export type Isolation = "none" | "sandbox";

/** How millrace is set up. */
export interface MillraceOptions {
  readonly isolation: Isolation;
  /** Threads over one TCP address, 1 by default. */
  readonly threads?: number;
  /** Sandboxes of each filter side by side, 1 by default. */
  readonly instances?: number;
  /** `warn` by default: libmilter logs no mails either; `info` shows what the log costs. */
  readonly logLevel?: string;
  /** Further flags for deno, for example `--cpu-prof`. */
  readonly denoFlags?: readonly string[];
}

/** Connections that are closed and opened again overlap, so the limit of 1,000 would be in the way at 1,000. */
const CONNECTIONS = 4000;

function configuration(
  job: Job,
  socket: Socket,
  { isolation, threads = 1, instances = 1, logLevel = "warn" }: MillraceOptions,
): string {
  const filters = job.filters.map((module, at) =>
    `  - use: "${here}/filters/${module}"
    name: filter-${at + 1}
    isolation: ${isolation}
${isolation === "sandbox" ? `    instances: ${instances}\n` : ""}`
  );
  return `listen: "${socket.spec}"
threads: ${threads}
limits: { connections: ${CONNECTIONS} }
log: { level: ${logLevel}, format: json }
filters:
${filters.join("")}`;
}

/**
 * millrace itself, as an administrator would start it: the filters are locked, then served under what `millrace flags`
 * prints. Its name is `inline`, `threads` or `sandbox`.
 */
export function millracePeer(options: MillraceOptions): Peer {
  const { isolation, threads = 1, denoFlags = [] } = options;
  const name = isolation === "sandbox" ? "sandbox" : threads > 1 ? "threads" : "inline";
  return {
    name,
    version: `${name}: millrace on Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    has: (_job, transport) => threads === 1 || transport === "tcp",
    filters: (job) => job.filters.length,
    async start(job, socket, folder, processors) {
      const own = await Deno.makeTempDir({ dir: folder, prefix: `${name}-` });
      const config = `${own}/millrace.yaml`;
      await Deno.writeTextFile(config, configuration(job, socket, options));
      if (isolation === "sandbox") {
        const read = `--allow-read=${own},${here}/filters,${ROOT}src`;
        await millrace(["--no-prompt", read, `--allow-write=${own}`], "lock", config);
      }
      const flags = (await millrace(["--no-prompt", `--allow-read=${config}`], "flags", config)).trim();
      return startServer(
        Deno.execPath(),
        [
          ...["run", "--no-check", "--quiet", ...IMPORT_MAP, ...flags.split("\n"), ...denoFlags],
          ...[MAIN, "serve", "-c", config],
        ],
        socket,
        { cwd: own, processors },
      );
    },
  };
}

/** Runs a command of millrace to its end; gives its output. */
async function millrace(flags: readonly string[], name: string, config: string): Promise<string> {
  const { code, out, err } = await run(flags, [name, "-c", config]);
  if (code === 0) return out;
  throw new CommandError(`"millrace ${name} -c ${config}" ended with ${code}:\n${err.trim()}`);
}
