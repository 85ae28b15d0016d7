/**
 * The program as a process of its own, from source, under given Deno flags.
 *
 * @module
 */
const ROOT = new URL("../../", import.meta.url).pathname;

/** Flags that give a child its imports from where this process has them. */
export const IMPORT_MAP: readonly string[] = import.meta.resolve("@std/yaml").startsWith("file:")
  ? [`--import-map=${ROOT}deploy/npm.import_map.json`]
  : [];

/** A program that says nothing for so long is stuck, ms; the test then fails with what it said before. */
const PATIENCE = 60_000;

/** Path of the program's main module. */
export const MAIN: string = `${ROOT}src/cli/main.ts`;

/** `deno run` of the program, from a folder that is not its own. */
export function command(flags: readonly string[], args: readonly string[], env: Record<string, string> = {}) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--quiet", ...IMPORT_MAP, ...flags, MAIN, ...args],
    cwd: "/",
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs it to its end. */
export async function run(
  flags: readonly string[],
  args: readonly string[],
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const { code, stdout, stderr } = await command(flags, args).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/**
 * Deno itself writes this at times when it halts a thread in the middle of its work; a sandbox that is unloaded is halted.
 * In colour unless NO_COLOR is set.
 */
const HALTED = 'error: Uncaught (in worker "") Error: execution terminated';

/** A running `serve`. Disposing ends it with SIGTERM and waits. */
export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** Has it read its configuration anew. */
  hangUp(): void;
  /** What it wrote to standard error so far. */
  log(): string;
  /** The lines of that, as JSON. */
  records(): Record<string, unknown>[];
  /** Resolves once the text is in the log; rejects if the process ends without it, or is stuck. */
  until(text: string): Promise<void>;
  /** Ends it with SIGTERM; gives its exit code. */
  stop(): Promise<number>;
}

/** Starts a program of one's own making, or `serve` by `command`. */
export function start(made: Deno.Command): Program {
  const child = made.spawn();
  let text = "";
  let over = false;
  const watchers = new Set<() => void>();
  const wake = () => {
    for (const watcher of watchers) watcher();
  };
  const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
      wake();
    }
  };
  const done = Promise.all([read(child.stderr), read(child.stdout), child.status]).then(([, , { code }]) => {
    over = true;
    wake();
    return code;
  });
  const stop = async () => {
    if (!over) {
      try {
        child.kill("SIGTERM");
      } catch (error) {
        // It was faster.
        if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return await done;
  };
  return {
    pid: child.pid,
    hangUp: () => child.kill("SIGHUP"),
    log: () => text,
    records: () =>
      text.trimEnd().split("\n").filter((line) => line !== HALTED).map((line) => JSON.parse(line)),
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!text.includes(wanted) && !over) return;
          settle();
          if (text.includes(wanted)) resolve();
          else reject(new Error(`it ended without "${wanted}":\n${text}`));
        };
        const timer = setTimeout(() => {
          settle();
          reject(new Error(`no "${wanted}" in ${PATIENCE} ms:\n${text}`));
        }, PATIENCE);
        const settle = () => {
          clearTimeout(timer);
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      }),
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** What the kernel says of a process: a file of its folder in /proc, which Deno itself reads only with all rights. */
export async function procFile(pid: number, name: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("cat", { args: [`/proc/${pid}/${name}`] })
    .output();
  if (!success) {
    throw new Error(`Cannot read /proc/${pid}/${name}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout);
}
