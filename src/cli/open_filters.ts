/**
 * Opens the links of a configuration: what `serve`, `check` and `try` begin with.
 *
 * @module
 */
import type { Link } from "../chain/link.ts";
import type { LinkConfig } from "../config/schema.ts";
import type { Log } from "../filter/mod.ts";
import type { SandboxLog } from "../links/sandbox/sandbox_link.ts";
import { DEFAULT_LIMITS } from "../server/limits.ts";
import type { ReadConfig } from "./load_config.ts";
import { type OpenFilter, openFilter } from "./open_filter.ts";
import { openUpstream } from "./open_upstream.ts";
import { codeSource } from "./pins.ts";

/** Where the filters' words go. */
export interface FilterLogs {
  /** The log of a filter in this isolate. */
  log(name: string): Log;
  /** What becomes of sandboxes, and what filters in them log. */
  readonly event: SandboxLog["event"];
}

/** How to open them. */
export interface OpenOptions {
  /** `as-it-is` takes filters in files as they are now, for their authors; by default the lock decides. */
  readonly files?: "pinned" | "as-it-is";
  /** Gives up when aborted: what has been opened is unloaded, and the signal's reason thrown. */
  readonly signal?: AbortSignal;
}

/** An entry of the configuration that answers mail. */
export interface OpenLink {
  readonly config: LinkConfig;
  readonly link: Link;
}

/** The running links of a configuration. */
export interface OpenFilters extends AsyncDisposable {
  /** All, in their order. */
  readonly links: readonly (OpenLink | OpenFilter)[];
  /** Those that run here. */
  readonly filters: readonly OpenFilter[];
}

/**
 * Loads and starts all links of a configuration, one after the other, in its order. Disposing unloads them.
 *
 * @throws {CommandError} that names the first filter that cannot be loaded
 */
export async function openFilters(
  read: ReadConfig,
  logs: FilterLogs,
  { files = "pinned", signal }: OpenOptions = {},
): Promise<OpenFilters> {
  const { config, base } = read;
  const unloaded = new AbortController();
  const filters: OpenFilter[] = [];
  const links: (OpenLink | OpenFilter)[] = [];
  const close = async (): Promise<void> => {
    unloaded.abort();
    await Promise.all(links.map(({ link }) => link.close()));
  };
  const limits = { ...DEFAULT_LIMITS, ...config.limits };
  const pinned = codeSource(read, files);
  const giveUp = (): void => unloaded.abort();
  signal?.addEventListener("abort", giveUp);
  try {
    for (const entry of config.filters) {
      signal?.throwIfAborted();
      if (entry.kind === "upstream") {
        // Nobody is asked before there is mail: it may start after this program.
        links.push({ config: entry, link: openUpstream(entry, logs.event) });
        continue;
      }
      const filter = await openFilter(entry, {
        base,
        limits,
        signal: unloaded.signal,
        log: (name) => logs.log(name),
        event: logs.event,
        pinned,
      });
      filters.push(filter);
      links.push(filter);
    }
    signal?.throwIfAborted();
  } catch (error) {
    await close();
    // What the abort broke is no fault of the filter.
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
  return { links, filters, [Symbol.asyncDispose]: close };
}
