/**
 * Debian packages for the peers: as they are installed, or unpacked below a folder, so that nothing is installed.
 *
 * @module
 */
import { CommandError, output } from "./process.ts";

/** The failures of a command that may only lack a package. */
function lacksSomething(error: unknown): boolean {
  return error instanceof CommandError || error instanceof Deno.errors.NotFound;
}

/** Names of the packages that an installation of these would add here; apt only simulates it. */
async function missing(packages: readonly string[]): Promise<string[]> {
  const plan = await output("apt-get", ["-q", "-s", "--no-install-recommends", "install", ...packages]);
  return [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name);
}

/** Unpacks packages, and those that they need and the machine lacks, below `root`. */
async function unpack(root: string, packages: readonly string[]): Promise<void> {
  const debs = await Deno.makeTempDir({ prefix: "millrace-debs-" });
  try {
    const names = new Set([...packages, ...await missing(packages)]);
    await output("apt-get", ["-q", "download", ...names], { cwd: debs });
    for await (const { name } of Deno.readDir(debs)) {
      if (name.endsWith(".deb")) await output("dpkg-deb", ["-x", `${debs}/${name}`, root]);
    }
  } finally {
    await Deno.remove(debs, { recursive: true });
  }
}

/**
 * Does something with what the machine has; if that fails, again with the packages unpacked below `root`.
 *
 * @throws {CommandError} if it fails with the packages too, or there are none to be had
 */
export async function withPackages<T>(
  root: string,
  packages: readonly string[],
  attempt: (root: string | undefined) => Promise<T>,
): Promise<T> {
  try {
    return await attempt(undefined);
  } catch (error) {
    if (!lacksSomething(error)) throw error;
  }
  try {
    await unpack(root, packages);
    return await attempt(root);
  } catch (error) {
    if (!lacksSomething(error)) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new CommandError(`${text}\nOn Debian: apt-get update && apt-get install ${packages.join(" ")}`);
  }
}

/** The version of a package: the installed one, else the one that apt would take. */
export async function packageVersion(name: string): Promise<string> {
  try {
    const policy = await output("apt-cache", ["policy", name]);
    const of = (key: string) => new RegExp(`^ *${key}: *(\\d.*)$`, "m").exec(policy)?.[1];
    return of("Installed") ?? of("Candidate") ?? "of unknown version";
  } catch (error) {
    if (!lacksSomething(error)) throw error;
    return "of unknown version";
  }
}
