/**
 * The programs that are measured. Another peer is another object of type {@linkcode Peer}.
 *
 * @module
 */
import { IMPORT_MAP, MAIN, run } from "../helpers/program.ts";
import { buildLibmilter } from "./build.ts";
import type { Job } from "./jobs.ts";
import { CommandError, output, type Server, type Socket, startServer } from "./process.ts";

/** A milter that can be started for a job. */
export interface Peer {
  readonly name: string;
  /** Name and version of what it stands on, for the top of the table. */
  readonly version: string;
  /**
   * Starts it for a job; `folder` is for whatever files it needs.
   *
   * @param processors that it may run on, as taskset(1) has them; undefined: all
   */
  start(job: Job, socket: Socket, folder: string, processors?: string): Promise<Server>;
}

const here = import.meta.dirname!;
const ROOT = new URL("../../", import.meta.url).pathname;

/** Where millrace runs its filter. */
export type Isolation = "none" | "sandbox";

/** How millrace is set up. */
export interface MillraceOptions {
  readonly isolation: Isolation;
  /** Sandboxes side by side, 1 by default. */
  readonly instances?: number;
  /** `warn` by default: libmilter logs no mails either; `info` shows what the log costs. */
  readonly logLevel?: string;
  /** Further flags for deno, for example `--cpu-prof`. */
  readonly denoFlags?: readonly string[];
}

/**
 * millrace itself, as an administrator would start it: the filter is locked, then served under what `millrace flags`
 * prints. Its name is `inline` or `sandbox`.
 */
export function millracePeer(options: MillraceOptions): Peer {
  const { isolation, instances = 1, logLevel = "warn", denoFlags = [] } = options;
  const name = isolation === "none" ? "inline" : "sandbox";
  return {
    name,
    version: `${name}: millrace on Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    async start(job, socket, folder, processors) {
      const own = await Deno.makeTempDir({ dir: folder, prefix: `${name}-` });
      const config = `${own}/millrace.yaml`;
      await Deno.writeTextFile(
        config,
        `listen: "${socket.spec}"
log: { level: ${logLevel}, format: json }
filters:
  - use: "${here}/filters/${job.filter}"
    isolation: ${isolation}
${isolation === "sandbox" ? `    instances: ${instances}\n` : ""}`,
      );
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

/** The C filter on Debian's libmilter, `peers/libmilter.c`, built in `folder`. */
export async function libmilterPeer(folder: string): Promise<Peer> {
  const program = await buildLibmilter(folder);
  const version = (await output(program, ["--version"])).trim();
  return {
    name: "libmilter",
    version: `libmilter ${version}, C, cc -O2`,
    // It looks for SIGTERM only every 5 seconds, and has nothing to put in order.
    start: (job, socket, _folder, processors) =>
      startServer(program, [socket.spec, job.peerJob], socket, { end: "SIGKILL", processors }),
  };
}
