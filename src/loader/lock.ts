/**
 * `millrace.lock`: what each filter was when the administrator last said yes to it.
 *
 * JSON in a fixed order, one line a module, so that it can stand under version control and be reviewed there.
 *
 * @module
 */
import { LoadError, quote, reasonOf } from "./error.ts";
import type { Files } from "./files.ts";
import type { ModuleGraph } from "./graph.ts";
import { HASH } from "./hash.ts";

/** The version of the lock's format that is written and read. */
export const LOCK_VERSION = 1;

/** Longest lock that is read, in bytes. */
const LONGEST_LOCK = 32 * 1024 * 1024;

/** Longest wishes of a filter, as JSON, in characters. */
const LONGEST_WISHES = 20_000;

/** A right that a filter's manifest wishes for: as a whole, or for some values only. */
export type Wish = true | readonly string[];

/** One filter, pinned. */
export interface LockedFilter {
  /** Address of its module after redirects and version ranges. */
  readonly entry: string;
  /** Hash of the archive that runs. */
  readonly archive: string;
  /** What its manifest wishes for. Only the configuration grants. */
  readonly wishes: Readonly<Record<string, Wish>>;
  /** From addresses as imported to those that answered. */
  readonly redirects: Readonly<Record<string, string>>;
  /** Address to hash of what was fetched. */
  readonly modules: Readonly<Record<string, string>>;
}

/** The whole lock: `use:` as it stands in the configuration to what it is pinned to. */
export interface Lock {
  readonly filters: Readonly<Record<string, LockedFilter>>;
}

/** A lock that pins nothing. */
export const EMPTY_LOCK: Lock = Object.freeze({ filters: Object.freeze({}) });

/** A filter's entry in the lock. */
export function lockedFilter(
  { entry, modules, redirects }: ModuleGraph,
  archive: string,
  wishes: Readonly<Record<string, Wish>> = {},
): LockedFilter {
  return {
    entry,
    archive,
    wishes,
    redirects,
    modules: Object.fromEntries(modules.map(({ url, hash }) => [url, hash])),
  };
}

/** Writes a lock. Equal locks give equal texts. */
export function formatLock({ filters }: Lock): string {
  const value = {
    version: LOCK_VERSION,
    filters: inOrder(filters, ({ entry, archive, wishes, redirects, modules }) => ({
      entry,
      archive,
      wishes: inOrder(wishes, (wish) => wish === true ? true : [...wish].sort()),
      redirects: inOrder(redirects, (to) => to),
      modules: inOrder(modules, (hash) => hash),
    })),
  };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/**
 * Reads a lock.
 *
 * @param file Its name, for messages.
 * @throws {LoadError} of kind `lock`
 */
export function parseLock(text: string, file: string): Lock {
  const fail = (why: string, cause?: unknown): never => {
    throw new LoadError("lock", `Cannot read ${quote(file)}: ${why}`, { cause });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const merged = /^(?:<{7}|>{7}) /m.test(text);
    return fail(
      merged
        ? "it has the marks of an unfinished merge; take either side and run millrace lock"
        : `it is not JSON (${reasonOf(error)}); restore it, or delete it and run millrace lock`,
      error,
    );
  }
  if (!isMap(value)) return fail("expected a JSON object; restore it, or delete it and run millrace lock");
  if (value.version !== LOCK_VERSION) {
    return fail(
      `its version is ${
        quote(JSON.stringify(value.version) ?? "missing")
      }, this program reads version ${LOCK_VERSION}; ` +
        "use the millrace that wrote it, or delete it and run millrace lock",
    );
  }
  if (!isMap(value.filters)) return fail('it has no "filters"; run millrace lock');
  for (const [use, filter] of Object.entries(value.filters)) {
    const problem = problemOf(filter);
    if (problem !== undefined) return fail(`the entry of ${quote(use)} ${problem}; run millrace lock`);
  }
  return { filters: value.filters as unknown as Lock["filters"] };
}

/**
 * Reads the lock file; undefined if there is none.
 *
 * @throws {LoadError} of kind `lock`
 */
export async function readLock(files: Files, path: string): Promise<Lock | undefined> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await files.read(path, LONGEST_LOCK);
  } catch (error) {
    throw new LoadError("lock", `Cannot read ${quote(path)}: ${reasonOf(error)}`, { cause: error });
  }
  return bytes === undefined ? undefined : parseLock(new TextDecoder().decode(bytes), path);
}

/**
 * Writes the lock file, as a whole or not at all.
 *
 * @throws {LoadError} of kind `lock`
 */
export async function writeLock(files: Files, path: string, lock: Lock): Promise<void> {
  try {
    // It holds no secrets, and the service need not be the user that locks.
    await files.replace(path, new TextEncoder().encode(formatLock(lock)), 0o644);
  } catch (error) {
    throw new LoadError("lock", `Cannot write ${quote(path)}: ${reasonOf(error)}`, { cause: error });
  }
}

function problemOf(filter: unknown): string | undefined {
  if (!isMap(filter)) return "is not an object";
  const { entry, archive, wishes, redirects, modules } = filter;
  if (typeof archive !== "string" || !HASH.test(archive)) return "has no archive hash";
  if (!isTextMap(modules) || !Object.values(modules).every((hash) => HASH.test(hash))) {
    return "has modules without a hash";
  }
  if (typeof entry !== "string" || !Object.hasOwn(modules, entry)) {
    return "has an entry that is none of its modules";
  }
  if (!isTextMap(redirects) || !Object.values(redirects).every((to) => Object.hasOwn(modules, to))) {
    return "has a redirect that leads to none of its modules";
  }
  if (![...Object.keys(redirects), ...Object.keys(modules)].every((url) => URL.canParse(url))) {
    return "has an address that is not a URL";
  }
  return areWishes(wishes) ? undefined : "has wishes that are neither true nor lists";
}

/** Is it a map from rights to wishes, of a length that somebody could read? */
export function areWishes(value: unknown): value is Readonly<Record<string, Wish>> {
  return isMap(value) && JSON.stringify(value).length <= LONGEST_WISHES &&
    Object.values(value).every((wish) =>
      wish === true || Array.isArray(wish) && wish.every((part) => typeof part === "string")
    );
}

function inOrder<T, U>(map: Readonly<Record<string, T>>, make: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.keys(map).sort().map((key) => [key, make(map[key])]));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return isMap(value) && Object.values(value).every((entry) => typeof entry === "string");
}
