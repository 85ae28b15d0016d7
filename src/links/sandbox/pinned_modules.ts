/**
 * Serves a filter's pinned modules to the isolate's loader, and refuses every other.
 *
 * @module
 */
import { registerHooks } from "node:module";
import type { PinnedGraph, PinnedModule } from "./messages.ts";
import type { Refused } from "./refusals.ts";

// The hooks run in the filter's isolate, and a filter may replace any built-in method: with another Map.prototype.get it
// could have node:worker_threads looked up as one of its own modules. So what the hooks use is captured before, and
// tables are objects without a prototype, whose lookup nobody can replace.
const { apply, getOwnPropertyDescriptor } = Reflect;
const { exec } = RegExp.prototype;
const { startsWith } = String.prototype;
const Address = URL;
const hrefOf = getOwnPropertyDescriptor(URL.prototype, "href")!.get!;

const { stringify } = JSON;

/** Addresses of modules that only throw. */
const REFUSED = "millrace:refused/";

/**
 * Deno 2.9.6 does not listen when a hook throws at a written-out `import "node:fs"`, and loads it all the same; it
 * listens when the hook leads elsewhere. With these few it is the other way round. A test tries every built-in module.
 */
const THROWN: Record<string, true> = Object.assign(Object.create(null), {
  "node:url": true,
  "node:util": true,
  "node:worker_threads": true,
  "node:zlib": true,
});

/** How a filter may name the runtime's helpers; all mean the version that runs. */
const HELPERS = /^(?:millrace:filter|@millrace\/millrace|jsr:@millrace\/millrace(?:@[^/]*)?)$/;

/**
 * From now on the isolate imports nothing but the graph, whether the import is written out or computed.
 *
 * @param graph Undefined for a module of the runtime's own: then only its folder and npm packages are open.
 * @param helpers URL of the runtime's filter helpers.
 * @param own Start of the URLs that belong to a bundled filter.
 * @param refused Told what was refused.
 * @param shared URL of what the runtime shares with bundled filters besides; what that imports is its own affair.
 */
export function servePinned(
  graph: PinnedGraph | undefined,
  helpers: string,
  own: string,
  refused: Refused = () => {},
  shared = "none:",
): void {
  const modules = table<PinnedModule>();
  for (const module of graph?.modules ?? []) modules[module.url] = module;
  const redirects = table<string>();
  for (const [from, to] of Object.entries(graph?.redirects ?? {})) redirects[from] = to;
  const throwing = table<string>();
  registerHooks({
    resolve(specifier, context, next) {
      if (matches(HELPERS, specifier)) return { url: helpers, format: "module", shortCircuit: true };
      const url = absolute(specifier, context.parentURL);
      const found = url === undefined ? undefined : redirects[url] ?? url;
      const pinned = found === undefined ? undefined : modules[found];
      if (pinned !== undefined) {
        return { url: pinned.url, format: pinned.kind === "json" ? "json" : "module", shortCircuit: true };
      }
      if (graph === undefined && url === helpers) return { url, format: "module", shortCircuit: true };
      if (graph === undefined && (url === shared || isOwn(specifier, context.parentURL, own))) {
        return next(specifier, context);
      }
      refused("import", specifier);
      const why =
        `Cannot import "${specifier}"${
          context.parentURL === undefined ? "" : ` from "${context.parentURL}"`
        }: ` +
        "it is not among the modules pinned in millrace.lock; import it by a literal specifier and run millrace lock";
      if (!begins(specifier, "node:") || THROWN[specifier]) throw new Error(why);
      const address = REFUSED + specifier;
      throwing[address] = `throw new Error(${stringify(why)});`;
      return { url: address, format: "module", shortCircuit: true };
    },
    load(url, context, next) {
      const source = throwing[url];
      if (source !== undefined) return { format: "module", source, shortCircuit: true };
      const module = modules[url];
      if (module === undefined) return next(url, context);
      return {
        format: module.kind === "json" ? "json" : "module",
        source: module.source,
        shortCircuit: true,
      };
    },
  });
}

function absolute(specifier: string, parent: string | undefined): string | undefined {
  try {
    const url = matches(/^\.{0,2}\//, specifier) ? new Address(specifier, parent) : new Address(specifier);
    return apply(hrefOf, url, []) as string;
  } catch {
    return undefined;
  }
}

/**
 * Bundled filters ship with the runtime: their own files, and the npm packages that came with them, wherever Deno keeps
 * those. Nothing from the network, and from the filter's own files no built-in module.
 */
function isOwn(specifier: string, parent: string | undefined, own: string): boolean {
  const url = absolute(specifier, parent);
  if (url !== undefined && begins(url, own)) return true;
  if (parent === undefined || matches(/^(?:https?|jsr|data|blob):/, url ?? "")) return false;
  return !begins(parent, own) || url === undefined || begins(url, "npm:");
}

function table<T>(): Record<string, T | undefined> {
  return Object.create(null);
}

function matches(pattern: RegExp, text: string): boolean {
  return apply(exec, pattern, [text]) !== null;
}

function begins(text: string, start: string): boolean {
  return apply(startsWith, text, [start]) as boolean;
}
