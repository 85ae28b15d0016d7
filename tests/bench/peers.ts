/**
 * The programs that are measured. Another peer is another object of type {@linkcode Peer}.
 *
 * @module
 */
import { buildLibmilter } from "./build.ts";
import type { Job } from "./jobs.ts";
import { output, type Server, type Socket, startServer } from "./process.ts";

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
const root = new URL("../..", import.meta.url).pathname;

/**
 * millrace itself, through its command line, one inline filter, as an administrator would start it.
 *
 * @param logLevel `warn` by default: libmilter logs no mails either; `info` shows what the log costs
 * @param extra flags for deno, for example `--cpu-prof`
 */
export async function millracePeer(logLevel: string, extra: readonly string[]): Promise<Peer> {
  const imports = await output(Deno.execPath(), ["task", "--quiet", "imports"], root);
  const flags = imports.split(/\s+/).filter(Boolean);
  return {
    name: "millrace",
    version: `millrace on Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    async start(job, socket, folder, processors) {
      const config = `${folder}/${job.name}-${socket.transport}.yaml`;
      await Deno.writeTextFile(
        config,
        `listen: "${socket.spec}"\nlog: { level: ${logLevel} }\nfilters:\n  - use: "${here}/filters/${job.filter}"\n`,
      );
      const permissions = ["--no-prompt", "--allow-net", "--allow-read", "--allow-write"];
      const program = [`${root}src/cli/main.ts`, "serve", "-c", config];
      return startServer(
        Deno.execPath(),
        ["run", ...flags, ...permissions, ...extra, ...program],
        socket,
        { cwd: root, processors },
      );
    },
  };
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
