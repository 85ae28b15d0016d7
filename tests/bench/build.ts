/**
 * Builds the C programs of the benchmark: the load generator, and the peer on Debian's libmilter.
 *
 * @module
 */
import { CommandError, output } from "./process.ts";

const here = import.meta.dirname!;

/** Builds the load generator into `folder`; returns the program's path. */
export async function buildLoad(folder: string): Promise<string> {
  const program = `${folder}/load`;
  const sources = ["main.c", "connection.c", "answers.c", "script.c"].map((name) => `${here}/load/${name}`);
  await output("cc", ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o", program, ...sources]);
  return program;
}

/** Unpacks libmilter's library and headers below `folder`, so that nothing is installed; returns the flags for cc. */
async function unpackLibmilter(folder: string): Promise<string[]> {
  const packages = `${folder}/packages`;
  await Deno.mkdir(packages, { recursive: true });
  await output("apt-get", ["-q", "download", "libmilter-dev", "libmilter1.0.1"], packages);
  for await (const { name } of Deno.readDir(packages)) {
    if (name.endsWith(".deb")) await output("dpkg-deb", ["-x", `${packages}/${name}`, `${folder}/root`]);
  }
  const triplet = (await output("cc", ["-print-multiarch"])).trim();
  const library = `${folder}/root/usr/lib/${triplet}`;
  return [`-I${folder}/root/usr/include`, `-L${library}`, `-Wl,-rpath,${library}`];
}

/**
 * Builds the libmilter peer into `folder`, against the installed libmilter or one unpacked from Debian's packages.
 *
 * @returns the program's path
 * @throws {CommandError} if there is no compiler, or no libmilter to be had
 */
export async function buildLibmilter(folder: string): Promise<string> {
  const program = `${folder}/libmilter`;
  const compile = (flags: readonly string[]) =>
    output("cc", ["-O2", ...flags, "-o", program, `${here}/peers/libmilter.c`, "-lmilter", "-lpthread"]);
  try {
    await compile([]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    await compile(await unpackLibmilter(folder));
  }
  return program;
}

/** Why the C programs cannot be built here, or undefined if a compiler is there. */
export async function missingCompiler(): Promise<string | undefined> {
  try {
    await output("cc", ["--version"]);
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no C compiler (cc): install gcc";
    return error instanceof Error ? error.message : String(error);
  }
}
