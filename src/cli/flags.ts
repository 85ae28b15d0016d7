/**
 * The Deno flags that a configuration needs: the smallest set with which `serve` does all that it says, and the
 * size of V8's young generation.
 *
 * @module
 */
import { RIGHTS } from "../config/permissions.ts";
import { useText } from "../config/use.ts";
import { dialFlags, listenFlags, SHARED_FLAG } from "../transport/deno.ts";
import type { ReadConfig } from "./load_config.ts";
import { fileUrl } from "./load_config.ts";
import { filterUrl, pathUrl } from "./load_filter.ts";
import { cachePath, isPinned, lockPath } from "./pins.ts";
import { allowFlag, grantsOf, pathOfUrl, runtimeSource, threadSource } from "./rights.ts";

/** Flags, and what they leave open. */
export interface Flags {
  readonly flags: readonly string[];
  /** Sentences for whoever starts the program. */
  readonly notes: readonly string[];
}

/** What the flags are for. */
export interface FlagsOptions {
  /** The folder that the path of the configuration starts at. */
  readonly cwd: string;
  /** For a compiled program, which has all its modules in itself. */
  readonly compiled: boolean;
}

/**
 * Closes the program to code from the network. Both flags: `--deny-import` alone leaves the hosts open that Deno allows
 * by default (2.9.6). Where Deno gets the program's own packages from JSR, a list with that host alone does the same.
 */
export function importFlags(compiled: boolean): string[] {
  const fromJsr = !compiled && /^(?:jsr|https):/.test(import.meta.resolve("@std/yaml"));
  return fromJsr ? ["--allow-import=jsr.io:443"] : ["--allow-import", "--deny-import"];
}

/**
 * Halves of 4 MiB for V8's young generation. No right: without it the program uses 20 to 50 MiB more under load, and
 * pauses longer, at the same speed (src/DESIGN.md 24). Sandboxes have limits of their own.
 */
const HEAP_FLAG = "--v8-flags=--max-semi-space-size=4";

/** The flags for `serve`. */
export function serveFlags(read: ReadConfig, { cwd, compiled }: FlagsOptions): Flags {
  const { config, base } = read;
  const wanted = new Map<string, Set<string>>();
  const add = (right: string, ...values: readonly string[]): void => {
    const set = wanted.get(right) ?? new Set();
    wanted.set(right, set);
    for (const value of values) set.add(value);
  };
  const addFlags = (flags: readonly string[]): void => {
    for (const flag of flags) {
      const [right, values] = /^--allow-([a-z]+)=(.*)$/.exec(flag)!.slice(1);
      add(right, ...values.split(","));
    }
  };
  const notes: string[] = [];
  add("read", pathOfUrl(fileUrl(read.file, cwd)));
  if (config.filters.some(isPinned)) add("read", lockPath(read), cachePath(read));
  for (const address of config.listen) addFlags(listenFlags(address, config.socket));
  if (config.threads > 1) add("read", ...threadSource(compiled));
  if (config.control !== undefined) addFlags(listenFlags(config.control));
  if (config.spool.folder !== undefined) {
    const folder = pathOfUrl(pathUrl(config.spool.folder, base));
    add("read", folder);
    add("write", folder);
  }
  for (const filter of config.filters) {
    if (filter.kind === "upstream") {
      addFlags(dialFlags(filter.upstream));
      continue;
    }
    if (filter.isolation === "none") {
      // What Deno finds in its own source while it loads it needs no right; a file beside the configuration does.
      if (filter.use.kind === "path") add("read", pathOfUrl(new URL("./", filterUrl(filter, base))));
      notes.push(
        `filter "${filter.name}" (${
          useText(filter.use)
        }) runs without a sandbox: what it needs besides is not known ` +
          "here; add it, or give it a sandbox and permissions",
      );
      continue;
    }
    add("read", ...runtimeSource(filter, compiled));
    const grants = grantsOf(filter, base);
    for (const right of RIGHTS) if (grants[right].length > 0) add(right, ...grants[right]);
  }
  const rights = RIGHTS.filter((right) => wanted.has(right)).map((right) =>
    allowFlag(right, withoutCovered(right, [...wanted.get(right)!]))
  );
  const shared = config.threads > 1 ? [SHARED_FLAG] : [];
  const flags = ["--no-prompt", ...importFlags(compiled), ...rights, ...shared, HEAP_FLAG];
  for (const flag of flags) {
    if (/\s/.test(flag)) notes.push(`"${flag}" has a blank: put it in quotes for a shell`);
  }
  return { flags, notes };
}

/** Leaves out what another entry gives already: files below a folder, ports of a host. */
function withoutCovered(right: string, values: readonly string[]): string[] {
  const covers = (wide: string, narrow: string): boolean => {
    if (wide === narrow) return false;
    if (right === "read" || right === "write") return narrow.startsWith(wide === "/" ? "/" : `${wide}/`);
    return right === "net" && narrow.replace(/:[0-9]+$/, "") === wide;
  };
  return values.filter((value) => !values.some((other) => covers(other, value)));
}
