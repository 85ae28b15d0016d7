/**
 * Serves a filter's pinned modules to the isolate's loader, and refuses every other.
 *
 * @module
 */
import { registerHooks } from "node:module";
import type { PinnedGraph } from "./messages.ts";
import type { Refused } from "./refusals.ts";

/** How a filter may name the runtime's helpers; all mean the version that runs. */
const HELPERS = /^(?:millrace:filter|@millrace\/millrace|jsr:@millrace\/millrace(?:@[^/]*)?)$/;

/**
 * From now on the isolate imports nothing but the graph, whether the import is written out or computed.
 *
 * @param graph Undefined for a module of the runtime's own: then only its folder and npm packages are open.
 * @param helpers URL of the runtime's filter helpers.
 * @param own Start of the URLs that belong to a bundled filter.
 * @param refused Told what was refused.
 */
export function servePinned(
  graph: PinnedGraph | undefined,
  helpers: string,
  own: string,
  refused: Refused = () => {},
): void {
  const modules = new Map(graph?.modules.map((module) => [module.url, module]) ?? []);
  const redirects = new Map(Object.entries(graph?.redirects ?? {}));
  registerHooks({
    resolve(specifier, context, next) {
      if (HELPERS.test(specifier)) return { url: helpers, format: "module", shortCircuit: true };
      const url = absolute(specifier, context.parentURL);
      const found = url === undefined ? undefined : redirects.get(url) ?? url;
      const pinned = found === undefined ? undefined : modules.get(found);
      if (pinned !== undefined) {
        return { url: pinned.url, format: pinned.kind === "json" ? "json" : "module", shortCircuit: true };
      }
      if (graph === undefined && url === helpers) return { url, format: "module", shortCircuit: true };
      if (graph === undefined && isOwn(specifier, context.parentURL, own)) return next(specifier, context);
      refused("import", specifier);
      throw new Error(
        `Cannot import "${specifier}"${
          context.parentURL === undefined ? "" : ` from "${context.parentURL}"`
        }: ` +
          "it is not among the modules pinned in millrace.lock; import it by a literal specifier and run millrace lock",
      );
    },
    load(url, context, next) {
      const module = modules.get(url);
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
    if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, parent).href;
    return new URL(specifier).href;
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
  if (url?.startsWith(own)) return true;
  if (parent === undefined || /^(?:https?|jsr|data|blob):/.test(url ?? "")) return false;
  return !parent.startsWith(own) || url === undefined || url.startsWith("npm:");
}
