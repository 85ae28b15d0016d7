/**
 * The filter `libmilter/orders.c`, compiled on the spot against Debian's libmilter.
 *
 * @module
 */
import { buildLibmilter, missingCompiler } from "../bench/build.ts";

const SOURCE = `${import.meta.dirname}/libmilter/orders.c`;

/** A running filter. */
export interface Orders extends AsyncDisposable {
  /** Stops it where it is, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Ends the process and waits for it. */
  [Symbol.asyncDispose](): Promise<void>;
}

async function cc(args: readonly string[]): Promise<string | undefined> {
  const { success, stdout, stderr } = await new Deno.Command("cc", { args: [...args] }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`cc ${args.join(" ")} failed:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout).trim();
}

/**
 * Why the filter cannot be built here; undefined if it can. On a machine for CI that is a fault, so nothing is
 * looked at there.
 */
export async function missingLibmilter(): Promise<string | undefined> {
  if (Deno.env.get("CI")) return undefined;
  const compiler = await missingCompiler();
  if (compiler !== undefined) return compiler;
  const folder = await Deno.makeTempDir({ prefix: "millrace-libmilter-" });
  try {
    await buildLibmilter(folder);
    return undefined;
  } catch (error) {
    return `libmilter is not there and cannot be fetched (apt-get install libmilter-dev): ${
      error instanceof Error ? error.message.split("\n")[0] : error
    }`;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Builds the filter into `folder`; returns the program's path. */
export async function buildOrders(folder: string): Promise<string> {
  await buildLibmilter(folder);
  const flags: string[] = [];
  const root = `${folder}/root/usr`;
  if (await Deno.stat(root).then(() => true, () => false)) {
    const library = `${root}/lib/${await cc(["-print-multiarch"])}`;
    flags.push(`-I${root}/include`, `-L${library}`, `-Wl,-rpath,${library}`);
  }
  const program = `${folder}/orders`;
  await cc(["-O1", ...flags, "-o", program, SOURCE, "-lmilter", "-lpthread"]);
  return program;
}

/** Starts the filter; it listens once this resolves. */
export async function startOrders(program: string, spec: string): Promise<Orders> {
  const child = new Deno.Command(program, { args: [spec], stdin: "null", stdout: "piped", stderr: "inherit" })
    .spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  if (done) throw new Error(`"${program} ${spec}" ended before it listened`);
  let over = false;
  return {
    signal: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      // libmilter takes seconds to notice SIGTERM.
      if (!over) child.kill("SIGKILL");
      over = true;
      await child.status;
    },
  };
}

const missing = await missingLibmilter();

/**
 * Declares a test with the filter's program and two addresses for it, a Unix socket and TCP; skipped where it cannot be
 * built.
 */
export function withOrders(name: string, run: (program: string, spec: string) => Promise<void>): void {
  if (missing !== undefined) console.warn(`SKIPPED: ${name}, because ${missing}`);
  Deno.test({
    name: missing === undefined ? name : `${name} (SKIPPED: no libmilter)`,
    ignore: missing !== undefined,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "millrace-orders-" });
      try {
        const program = await buildOrders(folder);
        const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const { port } = free.addr;
        free.close();
        for (const spec of [`unix:${folder}/m.sock`, `inet:${port}@127.0.0.1`]) await run(program, spec);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
