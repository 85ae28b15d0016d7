/**
 * From a filter's entry in the configuration to a checked filter in this isolate, for filters without a sandbox.
 *
 * @module
 */
import type { FilterConfig } from "../config/schema.ts";
import { formatDuration } from "../text/units.ts";
import { useText } from "../config/use.ts";
import type { FilterEnv, Log } from "../filter/mod.ts";
import { type LoadedFilter, loadFilter as loadModule } from "../session/filter_module.ts";
import { FilterError } from "../session/manifest.ts";
import { printable } from "../text/show.ts";
import { CommandError } from "./command.ts";

/** What a filter is loaded with. */
export interface LoadOptions {
  /** URL of the folder that relative paths start at, with a slash at its end. */
  readonly base: URL;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The URL of a filter's module, where it is bundled or a file. */
export function filterUrl({ use }: FilterConfig, base: URL): URL {
  switch (use.kind) {
    case "bundled":
      return new URL(`../../filters/${use.name}/mod.ts`, import.meta.url);
    case "path":
      return pathUrl(use.path, base);
    default:
      throw new TypeError(`Cannot import "${useText(use)}" here: it runs in a sandbox, from the lock`);
  }
}

/** The URL of a path that is absolute or relative to a folder. */
export function pathUrl(path: string, base: URL): URL {
  // As a path: `?`, `#` and `%` in it are letters of the name.
  const parts = path.replaceAll("\\", "/").split("/").map(encodeURIComponent).join("/");
  return new URL(parts.replace(/^([A-Za-z])%3A/, "/$1:"), base);
}

/** How messages name a filter. */
export function filterText(config: FilterConfig, base: URL): string {
  const { use } = config;
  return `filter "${config.name}" (${use.kind === "path" ? pathOf(filterUrl(config, base)) : useText(use)})`;
}

/**
 * Loads a filter's module, lets it check its options, starts it if it is a function, checks what comes out.
 *
 * @throws {CommandError} that names the filter, its file and what is wrong
 */
export async function loadFilter(config: FilterConfig, options: LoadOptions): Promise<LoadedFilter> {
  const url = filterUrl(config, options.base);
  const fail = (what: string, cause: unknown): never => {
    throw new CommandError(`Cannot load ${filterText(config, options.base)}: ${what}`, 2, { cause });
  };
  const env: FilterEnv = { options: config.options, log: options.log, signal: options.signal };
  let imported = false;
  try {
    return await inTime(
      loadModule(async () => {
        const module = await import(url.href);
        imported = true;
        return module;
      }, env),
      config.startTimeout,
      options.signal,
    );
  } catch (error) {
    if (error instanceof FilterError || imported) return fail(messageOf(error), error);
    return fail(importProblem(error, config, url), error);
  }
}

/** Waits for the filter's start, but not for ever, and not once it is to be unloaded. */
async function inTime<T>(started: Promise<T>, ms: number, signal: AbortSignal): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new FilterError(`it did not start within ${formatDuration(ms)} (start_timeout)`)),
    ms,
  );
  const unloaded = (): void => reject(new FilterError("it was unloaded before it had started"));
  signal.addEventListener("abort", unloaded);
  if (signal.aborted) unloaded();
  try {
    return await Promise.race([started, late]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", unloaded);
  }
}

function pathOf(url: URL): string {
  return decodeURIComponent(url.pathname);
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // A filter may list several mistakes in its options, one a line.
  return text.slice(0, 4000).split("\n").map((line) => printable(line, 500)).join("\n");
}

function importProblem(error: unknown, { use }: FilterConfig, url: URL): string {
  const message = messageOf(error);
  // Deno names the module that it did not find: this one, or one that it imports.
  if (message.startsWith(`Module not found "${url.href}"`)) {
    return use.kind === "bundled" ? "no such filter is bundled" : "there is no such file";
  }
  // Deno gives this as a TypeError, not as NotCapable.
  if (/^Requires \w+ access/.test(message)) {
    return `Deno was started without a right that this needs: ${message}`;
  }
  return message;
}
