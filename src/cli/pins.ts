/**
 * The lock and the cache of a configuration: where pinned code comes from.
 *
 * @module
 */
import type { FilterConfig, LinkConfig } from "../config/schema.ts";
import { useText } from "../config/use.ts";
import type { PinnedGraph } from "../links/sandbox/messages.ts";
import { decodeArchive } from "../loader/archive.ts";
import { ArchiveCache } from "../loader/cache.ts";
import { denoFiles } from "../loader/deno_files.ts";
import { LoadError } from "../loader/error.ts";
import type { Lockable, LockOptions, NewlyLocked } from "../loader/lock_filter.ts";
import { type Lock, readLock } from "../loader/lock.ts";
import { loadPinned } from "../loader/pinned.ts";
import { parseUse } from "../loader/specifier.ts";
import { CommandError } from "./command.ts";
import type { ReadConfig } from "./load_config.ts";
import { filterUrl, pathUrl } from "./load_filter.ts";
import { pathOfUrl } from "./rights.ts";

/** Path of the lock of a configuration. */
export function lockPath({ config, base }: ReadConfig): string {
  return pathOfUrl(pathUrl(config.lock, base));
}

/** Path of the folder of its archives. */
export function cachePath({ config, base }: ReadConfig): string {
  return pathOfUrl(pathUrl(config.cache, base));
}

/** The cache of a configuration. */
export function cacheOf(read: ReadConfig): ArchiveCache {
  return new ArchiveCache(denoFiles, cachePath(read));
}

/**
 * Is it a filter whose code is pinned in the lock? Bundled ones are part of the program, and without a sandbox files run
 * as they are.
 */
export function isPinned(link: LinkConfig): link is FilterConfig {
  return link.kind === "filter" && link.isolation === "sandbox" && link.use.kind !== "bundled";
}

/** What goes wrong with the lock, the cache or a module, as a command says it. */
export function asCommandError(error: unknown, exitCode: 1 | 2 = 2): unknown {
  return error instanceof LoadError ? new CommandError(error.message, exitCode, { cause: error }) : error;
}

/** Fetches a filter's modules anew, or reads them where it is in files. Writes nothing. */
export async function lockAnew(
  config: FilterConfig,
  { config: { jsr }, base }: ReadConfig,
  wishesOf?: LockOptions["wishesOf"],
): Promise<NewlyLocked> {
  const options = {
    fetch: (url: string, init: RequestInit) => fetch(url, init),
    files: denoFiles,
    jsr,
    wishesOf,
  };
  // Only here: what serves mail carries neither the compiler nor the network's protocols.
  const { lockFilter } = await import("../loader/lock_filter.ts");
  return await lockFilter(lockableOf(config, base), options);
}

function lockableOf(config: FilterConfig, base: URL): Lockable {
  if (config.use.kind === "path") return { kind: "file", url: filterUrl(config, base) };
  const use = parseUse(useText(config.use));
  if (use.kind !== "bundled" && use.kind !== "path") return use;
  throw new TypeError(`Cannot lock "${useText(config.use)}": it is part of the program`);
}

/**
 * Where the filters of a configuration get their code from.
 *
 * @param files `as-it-is`: filters in files are read anew, others are as pinned.
 */
export function codeSource(
  read: ReadConfig,
  files: "pinned" | "as-it-is",
): (config: FilterConfig) => Promise<PinnedGraph> {
  let lock: Promise<Lock> | undefined;
  return async (config) => {
    try {
      if (files === "as-it-is" && config.use.kind === "path") {
        return decodeArchive((await lockAnew(config, read)).archive);
      }
      lock ??= requireLock(read, config);
      return await loadPinned(useText(config.use), await lock, cacheOf(read));
    } catch (error) {
      throw asCommandError(error);
    }
  };
}

async function requireLock(read: ReadConfig, config: FilterConfig): Promise<Lock> {
  const path = lockPath(read);
  const lock = await readLock(denoFiles, path);
  if (lock !== undefined) return lock;
  throw new CommandError(
    `Cannot load filter "${config.name}" (${
      useText(config.use)
    }): there is no lock file ${path}, and only what it ` +
      `pins is run in a sandbox; write it with millrace lock -c ${read.file}`,
    2,
  );
}
