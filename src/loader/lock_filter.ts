/**
 * Locking a filter: asks the network, and compiles. Nothing that serves mail imports this.
 *
 * @module
 */
import { encodeArchive } from "./archive.ts";
import { LoadError } from "./error.ts";
import { DEFAULT_LIMITS, type Fetch, Fetcher, type Limits } from "./fetch.ts";
import type { Files } from "./files.ts";
import { type GraphNote, loadGraph } from "./graph.ts";
import { hashOf } from "./hash.ts";
import { Jsr, JSR_BASE, jsrBase } from "./jsr.ts";
import { LocalFiles } from "./local_files.ts";
import { areWishes, type LockedFilter, lockedFilter, type Wish } from "./lock.ts";
import { type PinnedGraph, pinnedOf } from "./pinned.ts";
import type { Use } from "./specifier.ts";

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

function addressOf(use: Exclude<Lockable, { readonly kind: "file" }>): string {
  if (use.kind === "url") return use.url;
  const { scope, name, range, export: path } = use.jsr;
  return new URL(`jsr:@${scope}/${name}${range && `@${range}`}${path.slice(1)}`).href;
}
