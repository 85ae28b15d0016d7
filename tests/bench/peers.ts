/**
 * The programs that are measured beside millrace, and what all of them have in common. Another peer is another object of
 * type {@linkcode Peer}.
 *
 * @module
 */
import { buildGoMilter, buildLibmilter, buildPymilter } from "./build.ts";
import { packageVersion } from "./debian.ts";
import type { Job } from "./jobs.ts";
import { output, type Server, type Socket, startServer } from "./process.ts";

/** A milter that can be started for a job. */
export interface Peer {
  readonly name: string;
  /** Name and version of what it stands on, for the top of the table. */
  readonly version: string;
  /** Whether it has the job at all, on such a socket. */
  has(job: Job, transport: Socket["transport"]): boolean;
  /** Filters that see each mail of the job one after the other: as many fields are added. */
  filters(job: Job): number;
  /**
   * Starts it for a job; `folder` is for whatever files it needs.
   *
   * @param processors that it may run on, as taskset(1) has them; undefined: all
   * @throws {CommandError} if it does not come up; the message has what it said
   */
  start(job: Job, socket: Socket, folder: string, processors?: string): Promise<Server>;
}

/** A peer that is one program with one filter: socket and job are its arguments. */
function oneProgram(
  name: string,
  version: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
  more: readonly string[] = [],
): Peer {
  const [program, ...first] = command;
  return {
    name,
    version,
    has: ({ peers }) => peers?.includes(name) ?? true,
    filters: () => 1,
    // libmilter looks for SIGTERM only every 5 seconds, and none of these has anything to put in order.
    start: (job, socket, _folder, processors) =>
      startServer(program, [...first, socket.spec, job.peerJob, ...more], socket, {
        end: "SIGKILL",
        env,
        processors,
      }),
  };
}

/** The C filter on Debian's libmilter, `peers/libmilter.c`, built in `folder`. */
export async function libmilterPeer(folder: string): Promise<Peer> {
  const program = await buildLibmilter(folder);
  const api = (await output(program, ["--version"])).trim();
  const compiler = (await output("cc", ["-dumpfullversion"])).trim();
  const version = `libmilter ${api} of Sendmail ${await packageVersion(
    "libmilter1.0.1",
  )}, gcc ${compiler} -O2`;
  return oneProgram("libmilter", version, [program]);
}

/** The Python filter on Debian's pymilter, `peers/pymilter.py`. */
export async function pymilterPeer(folder: string): Promise<Peer> {
  const { program, env, library } = await buildPymilter(folder);
  const script = `${import.meta.dirname}/peers/pymilter.py`;
  const python = (await output(program, ["--version"])).trim();
  const version = `pymilter ${await packageVersion("python3-milter")} on libmilter, ${python}`;
  return oneProgram("pymilter", version, [program, script], env, [library]);
}

/** The Go filter on Debian's go-milter of emersion, `peers/gomilter.go`, built in `folder`. */
export async function goMilterPeer(folder: string): Promise<Peer> {
  const { program, goVersion } = await buildGoMilter(folder);
  const version = `emersion/go-milter ${await packageVersion(
    "golang-github-emersion-go-milter-dev",
  )}, ${goVersion}`;
  return oneProgram("go-milter", version, [program]);
}
