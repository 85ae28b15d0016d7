/**
 * The two doors of the loader: locking, which asks the network and compiles, and loading what is locked, which does
 * neither.
 *
 * Filters in files are locked like those on servers: what was not pinned is not run. After an edit, `millrace lock`.
 *
 * @module
 */
import { decodeArchive, encodeArchive } from "./archive.ts";
import type { ArchiveCache } from "./cache.ts";
import { LoadError, quote } from "./error.ts";
import { DEFAULT_LIMITS, type Fetch, Fetcher, type Limits } from "./fetch.ts";
import type { Files } from "./files.ts";
import { type GraphNote, loadGraph, type ModuleGraph } from "./graph.ts";
import { hashOf } from "./hash.ts";
import { Jsr, JSR_BASE, jsrBase } from "./jsr.ts";
import { LocalFiles } from "./local_files.ts";
import { areWishes, type Lock, type LockedFilter, lockedFilter, type Wish } from "./lock.ts";
import type { Use } from "./specifier.ts";

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

/** What can be locked: bundled filters are part of the program, paths have been made file: URLs. */
export type Lockable =
  | Exclude<Use, { readonly kind: "bundled" | "path" }>
  | {
    readonly kind: "file";
    /** file: URL of the filter's module. */
    readonly url: URL;
    /** file: URL of the folder that its modules may be in, with a slash at its end. Default: that of `url`. */
    readonly folder?: URL;
  };

/** What locking works with. */
export interface LockOptions {
  readonly fetch: Fetch;
  readonly files: Files;
  /** Default: {@linkcode DEFAULT_LIMITS}. */
  readonly limits?: Partial<Limits>;
  /** JSR's address, as in `JSR_URL`. Default: {@linkcode JSR_BASE}. */
  readonly jsr?: string;
  /** Reads the rights that the filter's manifest wishes for. The filter is not trusted yet: run it without any. */
  readonly wishesOf?: (graph: PinnedGraph) => Promise<Readonly<Record<string, Wish>>>;
  /** Told each module before it is compiled, so that one that kills the compiler can be named. */
  readonly progress?: (url: string) => void;
}

/** A filter, ready to be pinned: put `locked` into the lock and `archive` into the cache. */
export interface NewlyLocked {
  readonly locked: LockedFilter;
  readonly archive: Uint8Array<ArrayBuffer>;
  /** Imports that are not in the graph. */
  readonly notes: readonly GraphNote[];
}

/**
 * Fetches a filter's whole graph and packs it. Writes nothing.
 *
 * @throws {LoadError}
 */
export async function lockFilter(use: Lockable, options: LockOptions): Promise<NewlyLocked> {
  const base = jsrBase(options.jsr ?? JSR_BASE);
  const local = use.kind === "file" ? new LocalFiles(options.files, use.url, use.folder) : undefined;
  const entry = use.kind === "file" ? local!.entry : addressOf(use);
  const fetcher = new Fetcher(options.fetch, { ...DEFAULT_LIMITS, ...options.limits });
  const sources = { fetcher, jsr: new Jsr(fetcher, base), local, progress: options.progress };
  const { graph, notes } = await loadGraph(entry, sources);
  const archive = encodeArchive(graph);
  const wishes = await options.wishesOf?.(pinnedOf(graph)) ?? {};
  if (!areWishes(wishes)) {
    throw new LoadError(
      "module",
      `Cannot lock ${graph.entry}: the permissions in its manifest are not each true or a list of texts, or are too long`,
    );
  }
  return { locked: lockedFilter(graph, await hashOf(archive), wishes), archive, notes };
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

function addressOf(use: Exclude<Lockable, { readonly kind: "file" }>): string {
  if (use.kind === "url") return use.url;
  const { scope, name, range, export: path } = use.jsr;
  return new URL(`jsr:@${scope}/${name}${range && `@${range}`}${path.slice(1)}`).href;
}

function pinnedOf({ entry, modules, redirects }: ModuleGraph): PinnedGraph {
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
