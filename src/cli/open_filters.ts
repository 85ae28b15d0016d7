/**
 * Opens the filters of a configuration: what `serve`, `check` and `try` begin with.
 *
 * @module
 */
import type { UpstreamConfig } from "../config/schema.ts";
import type { Log } from "../filter/mod.ts";
import type { SandboxLog } from "../links/sandbox/sandbox_link.ts";
import { DEFAULT_LIMITS } from "../server/limits.ts";
import type { ReadConfig } from "./load_config.ts";
import { type OpenFilter, openFilter } from "./open_filter.ts";
import { codeSource } from "./pins.ts";

/** Where the filters' words go. */
export interface FilterLogs {
  /** The log of a filter in this isolate. */
  log(name: string): Log;
  /** What becomes of sandboxes, and what filters in them log. */
  readonly event: SandboxLog["event"];
}

/** The running filters of a configuration. */
export interface OpenFilters extends AsyncDisposable {
  readonly filters: readonly OpenFilter[];
  /** Milters that run elsewhere: nothing is opened for them before there is mail. */
  readonly upstreams: readonly UpstreamConfig[];
}

/**
 * Loads and starts all filters of a configuration, one after the other, in its order. Disposing unloads them.
 *
 * @param files `as-it-is` takes filters in files as they are now, for their authors; without it the lock decides.
 * @throws {CommandError} that names the first filter that cannot be loaded
 */
export async function openFilters(
  read: ReadConfig,
  logs: FilterLogs,
  files: "pinned" | "as-it-is" = "pinned",
): Promise<OpenFilters> {
  const { config, base } = read;
  const unloaded = new AbortController();
  const filters: OpenFilter[] = [];
  const upstreams: UpstreamConfig[] = [];
  const close = async (): Promise<void> => {
    unloaded.abort();
    await Promise.all(filters.map(({ link }) => link.close()));
  };
  const limits = { ...DEFAULT_LIMITS, ...config.limits };
  const pinned = codeSource(read, files);
  try {
    for (const entry of config.filters) {
      if (entry.kind === "upstream") {
        upstreams.push(entry);
        continue;
      }
      filters.push(
        await openFilter(entry, {
          base,
          limits,
          signal: unloaded.signal,
          log: (name) => logs.log(name),
          event: logs.event,
          pinned,
        }),
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { filters, upstreams, [Symbol.asyncDispose]: close };
}
