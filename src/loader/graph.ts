/**
 * Collects a filter's whole module graph: every module that it can import is fetched, checked and turned into
 * JavaScript.
 *
 * @module
 */
import { type Importer, LoadError, quote, withImporters } from "./error.ts";
import type { Fetcher } from "./fetch.ts";
import { hashOf } from "./hash.ts";
import type { Jsr } from "./jsr.ts";
import { LOCAL_ROOT, type LocalFiles } from "./local_files.ts";
import { languageOf } from "./media.ts";
import { mayReachLoopback, resolveImport } from "./resolve.ts";
import { isLoopback, parseJsr } from "./specifier.ts";
import { type FoundImport, transpile } from "./transpile.ts";

/** A module as it is packed. */
export interface GraphModule {
  /** The address that answered. */
  readonly url: string;
  readonly kind: "js" | "json";
  /** Hash of the bytes as fetched, before types were stripped. */
  readonly hash: string;
  /** JavaScript, or JSON text. */
  readonly source: string;
}

/** A filter's code, complete. */
export interface ModuleGraph {
  /** Address of the filter's own module; one of `modules`. */
  readonly entry: string;
  /** In the order of their addresses. */
  readonly modules: readonly GraphModule[];
  /** From addresses as imported to those that answered, each in one step; in the order of the former. */
  readonly redirects: Readonly<Record<string, string>>;
}

/** An import that is not in the graph; it will fail if the filter comes to it. */
export interface GraphNote {
  readonly url: string;
  readonly line: number | undefined;
  /** As written; undefined if it is computed. */
  readonly specifier: string | undefined;
  readonly message: string;
}

/** Where the modules come from. */
export interface Sources {
  readonly fetcher: Fetcher;
  readonly jsr: Jsr;
  /** Only for a filter that is a file. */
  readonly local?: LocalFiles;
  /** Told each module before it is compiled. */
  readonly progress?: (url: string) => void;
}

/** Notes that are kept; more would not be read. */
const MOST_NOTES = 100;
/** Requests at once. */
const WINDOW = 6;
const ACCEPT = "application/typescript, text/typescript, application/javascript, text/javascript, " +
  "application/json;q=0.9, */*;q=0.5";

type Outcome =
  | { readonly kind: "elsewhere"; readonly to: string }
  | { readonly kind: "module"; readonly module: GraphModule; readonly imports: readonly FoundImport[] };

/** An address that something imports. */
interface Item {
  readonly address: string;
  /** Who asked for it first, and for that one, down to the entry. */
  readonly importers: readonly Importer[];
  /** Redirects on the way here. */
  readonly hops: number;
  outcome?: Promise<Outcome>;
}

interface Edge {
  readonly to: string;
  readonly expects: FoundImport["expects"];
  readonly importers: readonly Importer[];
}

/**
 * Loads a graph.
 *
 * @param entry Address of the filter's module: `https:`, `http:` on loopback, `jsr:` or `local:`.
 * @throws {LoadError} with the module at fault and the chain of imports that leads to it
 */
export async function loadGraph(
  entry: string,
  sources: Sources,
): Promise<{ readonly graph: ModuleGraph; readonly notes: readonly GraphNote[] }> {
  return await new GraphLoader(sources).load(entry);
}

class GraphLoader {
  readonly #sources: Sources;
  readonly #items = new Map<string, Item>();
  readonly #queue: Item[] = [];
  readonly #modules = new Map<string, GraphModule>();
  readonly #redirects = new Map<string, string>();
  readonly #edges = new Map<string, Edge>();
  readonly #notes: GraphNote[] = [];

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  async load(entry: string) {
    this.#enqueue(entry, [], 0);
    this.#edges.set("", { to: entry, expects: "js", importers: [] });
    try {
      // Outcomes are taken in the order of the queue, whichever comes first: same servers, same error.
      for (let next = 0; next < this.#queue.length; next++) {
        for (const item of this.#queue.slice(next, next + WINDOW)) this.#start(item);
        const item = this.#queue[next];
        try {
          this.#take(item, await item.outcome!);
        } catch (error) {
          throw error instanceof LoadError ? withImporters(error, item.importers) : error;
        }
      }
    } finally {
      this.#sources.fetcher.close();
      await Promise.allSettled(this.#queue.map(({ outcome }) => outcome));
    }
    for (const edge of this.#edges.values()) this.#checkKind(edge);
    const redirects = [...this.#redirects.keys()].sort().map((from) => [from, this.#follow(from)]);
    const graph: ModuleGraph = {
      entry: this.#follow(entry),
      modules: [...this.#modules.values()].sort((a, b) => a.url < b.url ? -1 : 1),
      redirects: Object.fromEntries(redirects),
    };
    return { graph, notes: this.#notes };
  }

  /** Another spelling of an address; they count as modules do, since each stands in the lock. */
  #alias(asked: string, to: string): void {
    this.#redirects.set(asked, to);
    const { modules } = this.#sources.fetcher.limits;
    if (this.#redirects.size > 2 * modules) {
      throw new LoadError(
        "limit",
        `Cannot load ${asked}: the filter imports more than ${2 * modules} spellings of its modules`,
      );
    }
  }

  #enqueue(address: string, importers: readonly Importer[], hops: number): void {
    if (this.#items.has(address)) return;
    const { modules, redirects } = this.#sources.fetcher.limits;
    if (hops > redirects) {
      throw new LoadError("limit", `Cannot fetch ${address}: more than ${redirects} redirects led to it`);
    }
    if (this.#items.size >= modules) {
      throw new LoadError("limit", `Cannot load ${address}: the filter imports more than ${modules} modules`);
    }
    const item: Item = { address, importers, hops };
    this.#items.set(address, item);
    this.#queue.push(item);
  }

  #start(item: Item): void {
    if (item.outcome !== undefined) return;
    item.outcome = this.#outcomeOf(item.address);
    // Looked at in its turn, or not at all if another fails before.
    item.outcome.catch(() => {});
  }

  async #outcomeOf(address: string): Promise<Outcome> {
    const { fetcher, jsr, local } = this.#sources;
    if (address.startsWith("jsr:")) return { kind: "elsewhere", to: await jsr.resolve(parseJsr(address)!) };
    if (address.startsWith(LOCAL_ROOT)) {
      const bytes = await local!.read(address, fetcher.limits.moduleBytes);
      fetcher.count(address, bytes.length);
      return await this.#moduleOf(address, "", bytes, undefined);
    }
    const checksum = await jsr.checksumOf(address);
    const answer = await fetcher.get(address, ACCEPT);
    if (answer.kind === "content") {
      return await this.#moduleOf(address, answer.contentType, answer.bytes, checksum);
    }
    if (checksum !== undefined) {
      throw new LoadError(
        "network",
        `Cannot fetch ${address}: JSR redirects to ${answer.to}, which it should not`,
      );
    }
    if (isLoopback(new URL(answer.to)) && !mayReachLoopback(address)) {
      throw new LoadError(
        "network",
        `Cannot fetch ${address}: the server redirects to ${answer.to}; ` +
          "a server elsewhere may not have this machine ask itself",
      );
    }
    return { kind: "elsewhere", to: answer.to };
  }

  async #moduleOf(
    url: string,
    contentType: string,
    bytes: Uint8Array<ArrayBuffer>,
    checksum: string | undefined,
  ): Promise<Outcome> {
    const hash = await hashOf(bytes);
    if (checksum !== undefined && checksum !== hash) {
      throw new LoadError(
        "module",
        `Cannot load ${url}: its hash is ${hash}, but the package lists ${checksum}; ` +
          "the file was changed on the way or on the server",
      );
    }
    const language = languageOf(url, contentType);
    this.#sources.progress?.(url);
    const { kind, source, imports } = await transpile(url, bytes, language);
    return { kind: "module", module: { url, kind, hash, source }, imports };
  }

  #take(item: Item, outcome: Outcome): void {
    if (outcome.kind === "elsewhere") {
      this.#redirects.set(item.address, outcome.to);
      this.#follow(outcome.to);
      const hops = item.address.startsWith("jsr:") ? item.hops : item.hops + 1;
      this.#enqueue(outcome.to, item.importers, hops);
      return;
    }
    this.#modules.set(item.address, outcome.module);
    for (const found of outcome.imports) this.#import(item, found);
  }

  #import(item: Item, { specifier, dynamic, expects, line }: FoundImport): void {
    const note = (message: string): void => {
      if (this.#notes.length < MOST_NOTES) this.#notes.push({ url: item.address, line, specifier, message });
    };
    if (specifier === undefined) {
      note(
        "import() of an address computed at run time; it can only lead to modules that are imported elsewhere too",
      );
      return;
    }
    const resolved = resolveImport(specifier, item.address);
    if (resolved.kind === "runtime") return;
    if (resolved.kind === "refused") {
      // Code for several runtimes tries what only some of them have.
      if (dynamic) return note(`import() of ${quote(specifier)} will fail: ${resolved.why}`);
      const place = line === undefined ? "" : `:${line}`;
      throw new LoadError(
        "module",
        `Cannot load ${item.address}${place}: it imports ${quote(specifier)}: ${resolved.why}`,
      );
    }
    const { asked, to } = resolved;
    if (asked !== to) this.#alias(asked, to);
    // One of a kind is enough to check, and a hostile module may repeat itself a million times.
    const edge = `${expects} ${to}`;
    if (this.#edges.has(edge)) return;
    const importers = [{ url: item.address, line }, ...item.importers];
    this.#edges.set(edge, { to, expects, importers });
    try {
      this.#enqueue(to, importers, 0);
    } catch (error) {
      throw error instanceof LoadError ? withImporters(error, [{ url: item.address, line }]) : error;
    }
  }

  /** Where an address leads in the end. */
  #follow(address: string): string {
    let at = address;
    for (let steps = 0; this.#redirects.has(at); steps++) {
      if (steps > this.#redirects.size) {
        throw new LoadError("network", `Cannot fetch ${address}: its redirects go in a circle`);
      }
      at = this.#redirects.get(at)!;
    }
    return at;
  }

  /** Code and JSON must be told apart by the importer, as everywhere on the web: else data could turn into code. */
  #checkKind({ to, expects, importers }: Edge): void {
    const { url, kind } = this.#modules.get(this.#follow(to))!;
    if (expects === undefined || expects === kind) return;
    const why = kind === "json"
      ? importers.length === 0
        ? "it is JSON; a filter is a module with code"
        : 'it is JSON; write `with { type: "json" }` after the import'
      : 'it is code; leave out `with { type: "json" }`';
    throw withImporters(new LoadError("module", `Cannot load ${url}: ${why}`), importers);
  }
}
