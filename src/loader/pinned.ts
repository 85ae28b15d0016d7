/**
 * Loading what is locked: from the cache alone, without the network and without a compiler.
 *
 * Filters in files are locked like those on servers: what was not pinned is not run. After an edit, `millrace lock`.
 *
 * @module
 */
import { decodeArchive } from "./archive.ts";
import type { ArchiveCache } from "./cache.ts";
import { LoadError, quote } from "./error.ts";
import type { ModuleGraph } from "./graph.ts";
import { type Lock, type LockedFilter, lockedFilter } from "./lock.ts";

/** A filter's code as the sandbox takes it: JavaScript and JSON by address. */
export interface PinnedGraph {
  readonly entry: string;
  readonly modules: readonly {
    readonly url: string;
    readonly kind: "js" | "json";
    readonly source: string;
  }[];
  readonly redirects: Readonly<Record<string, string>>;
}

/**
 * The code of a filter, from the cache alone.
 *
 * @param use `use:` as it stands in the configuration and in the lock.
 * @throws {LoadError} of kind `lock` if it is not pinned, of kind `cache` if the archive is missing or not the pinned one
 */
export async function loadPinned(use: string, lock: Lock, cache: ArchiveCache): Promise<PinnedGraph> {
  const locked = Object.hasOwn(lock.filters, use) ? lock.filters[use] : undefined;
  if (locked === undefined) {
    throw new LoadError(
      "lock",
      `Cannot load ${quote(use)}: millrace.lock does not pin it; run millrace lock`,
    );
  }
  const bytes = await cache.read(locked.archive);
  if (bytes === undefined) {
    throw new LoadError(
      "cache",
      `Cannot load ${quote(use)}: its archive ${
        cache.pathOf(locked.archive)
      } is missing; run millrace lock to fetch it again`,
    );
  }
  const graph = decodeArchive(bytes);
  const pinned = lockedFilter(graph, locked.archive, locked.wishes);
  // The archive is the pinned one. A lock that says something else about it was edited, and would mislead a reviewer.
  const difference = differenceOf(locked, pinned);
  if (difference !== undefined) {
    throw new LoadError("lock", `Cannot load ${quote(use)}: millrace.lock ${difference}; run millrace lock`);
  }
  return pinnedOf(graph);
}

/** What of a graph the sandbox takes. */
export function pinnedOf({ entry, modules, redirects }: ModuleGraph): PinnedGraph {
  return { entry, modules: modules.map(({ url, kind, source }) => ({ url, kind, source })), redirects };
}

function differenceOf(locked: LockedFilter, archive: LockedFilter): string | undefined {
  if (locked.entry !== archive.entry) {
    return `says that its entry is ${locked.entry}, the archive says ${archive.entry}`;
  }
  const modules = new Set([...Object.keys(locked.modules), ...Object.keys(archive.modules)]);
  for (const url of modules) {
    if (locked.modules[url] === archive.modules[url]) continue;
    return `has ${locked.modules[url] ?? "no hash"} for ${url}, the archive has ${
      archive.modules[url] ?? "no such module"
    }`;
  }
  const from = new Set([...Object.keys(locked.redirects), ...Object.keys(archive.redirects)]);
  for (const url of from) {
    if (locked.redirects[url] === archive.redirects[url]) continue;
    return `has another redirect for ${url} than the archive`;
  }
  return undefined;
}
