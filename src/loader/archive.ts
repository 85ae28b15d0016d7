/**
 * A filter's whole graph as one run of bytes: JSON, its keys and modules in a fixed order, so that the same graph
 * gives the same bytes.
 *
 * Two kinds of hash pin it. Each module has the hash of what was fetched: anybody can compare it with the file on the
 * server, and it says which module changed. The archive has a hash of its own, over the JavaScript that runs, the
 * redirects and the module hashes: that is what decides whether a filter starts. The archive holds JavaScript and not
 * the fetched text, so that what runs does not change with the compiler, and serving compiles nothing.
 *
 * @module
 */
import { LoadError } from "./error.ts";
import type { GraphModule, ModuleGraph } from "./graph.ts";
import { HASH } from "./hash.ts";

/** First value in an archive; another one is another format. */
const FORMAT = "millrace archive 1";

/** Longest archive that is read: escaping may lengthen the text that was fetched. */
export const LONGEST_ARCHIVE = 256 * 1024 * 1024;

/** Writes a graph. */
export function encodeArchive({ entry, modules, redirects }: ModuleGraph): Uint8Array<ArrayBuffer> {
  const inOrder = [...modules].sort((a, b) => a.url < b.url ? -1 : 1);
  const text = JSON.stringify({
    format: FORMAT,
    entry,
    redirects: Object.fromEntries(Object.keys(redirects).sort().map((from) => [from, redirects[from]])),
    modules: inOrder.map(({ url, kind, hash, source }) => ({ url, kind, hash, source })),
  });
  return new TextEncoder().encode(text);
}

/**
 * Reads an archive. Compare its hash with the pinned one before: this checks the form, not where it comes from.
 *
 * @throws {LoadError} of kind `cache` if the bytes are none that {@linkcode encodeArchive} writes
 */
export function decodeArchive(bytes: Uint8Array): ModuleGraph {
  let graph: ModuleGraph | undefined;
  try {
    graph = graphOf(JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)));
  } catch (error) {
    throw new LoadError("cache", "Cannot read the archive: it is not UTF-8 JSON; run millrace lock", {
      cause: error,
    });
  }
  if (graph === undefined || !sameBytes(encodeArchive(graph), bytes)) {
    throw new LoadError(
      "cache",
      "Cannot read the archive: it is not one that this version writes; run millrace lock",
    );
  }
  return graph;
}

function graphOf(value: unknown): ModuleGraph | undefined {
  if (!isMap(value) || value.format !== FORMAT || typeof value.entry !== "string") return undefined;
  if (!Array.isArray(value.modules) || !isMap(value.redirects)) return undefined;
  const modules = new Map<string, GraphModule>();
  for (const module of value.modules) {
    if (!isModule(module) || modules.has(module.url)) return undefined;
    modules.set(module.url, module);
  }
  for (const [from, to] of Object.entries(value.redirects)) {
    if (!isAddress(from) || typeof to !== "string" || !modules.has(to)) return undefined;
  }
  if (modules.get(value.entry)?.kind !== "js") return undefined;
  return {
    entry: value.entry,
    modules: [...modules.values()],
    redirects: value.redirects as Readonly<Record<string, string>>,
  };
}

function isModule(value: unknown): value is GraphModule {
  return isMap(value) && isAddress(value.url) && (value.kind === "js" || value.kind === "json") &&
    typeof value.hash === "string" && HASH.test(value.hash) && typeof value.source === "string";
}

function isAddress(value: unknown): value is string {
  return typeof value === "string" && URL.canParse(value) && new URL(value).href === value;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
