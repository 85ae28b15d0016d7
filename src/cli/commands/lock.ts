/**
 * `millrace lock`: fetches the filters of a configuration and pins them, byte for byte.
 *
 * @module
 */
import type { FilterConfig } from "../../config/schema.ts";
import { useText } from "../../config/use.ts";
import { denoFiles } from "../../loader/deno_files.ts";
import type { NewlyLocked } from "../../loader/lock_filter.ts";
import { EMPTY_LOCK, type Lock, type LockedFilter, readLock, writeLock } from "../../loader/lock.ts";
import { diffLocks, formatDiff } from "../../loader/lock_diff.ts";
import { printable } from "../../text/show.ts";
import { type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { CONFIG_OPTION, type ReadConfig, readConfig } from "../load_config.ts";
import { readWishes } from "../open_filter.ts";
import { asCommandError, cacheOf, isPinned, lockAnew, lockPath } from "../pins.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "lock",
    summary: "Fetch the filters of a configuration and pin them; show what changed",
    operands: "",
    operandCount: [0, 0],
    options: [
      CONFIG_OPTION,
      { name: "check", summary: "Change nothing; exit 1 if something would change" },
    ],
    notes:
      `Writes the lock file (lock:) and the cache (cache:) of the configuration; serve runs only what they hold.
Exit codes: 0 fine, 1 a filter could not be fetched, or --check found a change, 2 usage or configuration.`,
  },
  async run(given, io) {
    const read = await readConfig(given.value("config")!, io);
    try {
      return await lock(read, given.has("check"), io);
    } catch (error) {
      throw asCommandError(error, 1);
    }
  },
};

async function lock(read: ReadConfig, checkOnly: boolean, io: Io): Promise<number> {
  const path = lockPath(read);
  const before = await readLock(denoFiles, path) ?? EMPTY_LOCK;
  const pinned = new Map<string, NewlyLocked>();
  for (const filter of read.config.filters) {
    if (!isPinned(filter)) continue;
    const use = useText(filter.use);
    // The same module may serve under two names.
    if (pinned.has(use)) continue;
    pinned.set(use, await lockOne(filter, read, io));
  }
  const filters: Record<string, LockedFilter> = {};
  for (const [use, { locked }] of pinned) filters[use] = locked;
  const after: Lock = { filters };
  const changes = formatDiff(diffLocks(before, after));
  io.stdout.write(changes);
  const cache = cacheOf(read);
  if (checkOnly) {
    // What changed is not there either.
    const missing = changes === "" ? await missingArchives(pinned, cache) : [];
    for (const use of missing) io.stdout.write(`! ${printable(use)}: not in the cache\n`);
    if (changes === "" && missing.length === 0) {
      io.stdout.write(`${printable(path)} is as the filters are.\n`);
      return 0;
    }
    io.stdout.write(`${printable(path)} would change; run millrace lock without --check.\n`);
    return 1;
  }
  // The cache first: a lock that is there must find its archives.
  for (const { archive } of pinned.values()) await cache.write(archive);
  if (changes === "") {
    io.stdout.write(`${printable(path)}: nothing changed, ${filtersText(pinned.size)}.\n`);
  } else {
    await writeLock(denoFiles, path, after);
    io.stdout.write(`${printable(path)}: written, ${filtersText(pinned.size)}.\n`);
  }
  return 0;
}

function filtersText(count: number): string {
  return count === 1 ? "1 filter pinned" : `${count} filters pinned`;
}

async function lockOne(filter: FilterConfig, read: ReadConfig, io: Io): Promise<NewlyLocked> {
  try {
    const locked = await lockAnew(
      filter,
      read,
      async (graph) => ({ ...await readWishes(filter, read.base, graph) }),
    );
    for (const { url, line, specifier, message } of locked.notes) {
      const place = `${printable(url)}${line === undefined ? "" : `:${line}`}`;
      const what = specifier === undefined ? "a computed import" : `import of "${printable(specifier)}"`;
      io.stderr.write(`note: ${place}: ${what}: ${printable(message, 500)}\n`);
    }
    return locked;
  } catch (error) {
    const known = asCommandError(error, 1);
    if (!(known instanceof CommandError)) throw error;
    throw new CommandError(`Cannot lock filter "${filter.name}": ${known.message}`, known.exitCode, {
      cause: error,
    });
  }
}

/** Filters whose archives are not in the cache, or damaged there. */
async function missingArchives(
  pinned: ReadonlyMap<string, NewlyLocked>,
  cache: ReturnType<typeof cacheOf>,
): Promise<string[]> {
  const missing: string[] = [];
  for (const [use, { locked }] of pinned) {
    const found = await cache.read(locked.archive).catch(() => undefined);
    if (found === undefined) missing.push(use);
  }
  return missing;
}
