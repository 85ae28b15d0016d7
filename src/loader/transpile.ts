/**
 * From the text of a module to JavaScript that runs, and the list of its imports.
 *
 * TypeScript of strangers goes through Deno's own compiler. Nested some thousand levels deep it makes that compiler
 * run out of stack, which ends the process; nothing short of a compiler can tell such text beforehand. So this is done
 * while locking, never while serving: the archive holds the JavaScript.
 *
 * @module
 */
import { stripTypeScriptTypes } from "node:module";
import { SourceTextModule } from "node:vm";
import { type DynamicImport, type Import, init, parse, type StaticImport } from "es-module-lexer";
import { LoadError, plain, quote, reasonOf } from "./error.ts";
import type { Language } from "./media.ts";

/** An import of a module. */
export interface FoundImport {
  /** As written; undefined if it is computed at run time. */
  readonly specifier: string | undefined;
  readonly dynamic: boolean;
  /** What the import expects: `with { type: "json" }` or code; undefined if that is computed. */
  readonly expects: "js" | "json" | undefined;
  /** Line in the text as fetched, from 1. */
  readonly line: number | undefined;
}

/** A module that can run. */
export interface Transpiled {
  readonly kind: "js" | "json";
  readonly source: string;
  readonly imports: readonly FoundImport[];
}

/**
 * Strips types, checks the syntax, finds the imports.
 *
 * @throws {LoadError} of kind `module`, that names the URL and the compiler's reason
 */
export async function transpile(url: string, bytes: Uint8Array, language: Language): Promise<Transpiled> {
  await init;
  const text = textOf(url, bytes);
  if (language === "json") {
    checkJson(url, text);
    return { kind: "json", source: text, imports: [] };
  }
  const source = language === "ts" ? stripped(url, text) : text;
  checkSyntax(url, source);
  return { kind: "js", source, imports: importsOf(url, source, text) };
}

function textOf(url: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new LoadError("module", `Cannot load ${url}: its text is not UTF-8`, { cause: error });
  }
}

function checkJson(url: string, text: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new LoadError("module", `Cannot load ${url}: it is not well-formed JSON: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function stripped(url: string, text: string): string {
  try {
    return stripTypeScriptTypes(text, { mode: "transform" });
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/^SyntaxError: /, "");
    const place = /stripTypeScriptTypes\.ts:(\d+):(\d+)/.exec(reason);
    const words = plain(reason.split("\n")[0]);
    throw new LoadError(
      "module",
      `Cannot load ${url}${
        place ? `:${place[1]}:${place[2]}` : ""
      }: it is not TypeScript that can be compiled: ${words}`,
      { cause: error },
    );
  }
}

/** Has V8 compile the module without running it: what it refuses now would only fail when the filter starts. */
function checkSyntax(url: string, source: string): void {
  try {
    new SourceTextModule(source, { identifier: url });
  } catch (error) {
    throw new LoadError(
      "module",
      `Cannot load ${url}: it is not JavaScript that runs here: ${reasonOf(error)} ` +
        "(decorators and other proposals have to be compiled first)",
      { cause: error },
    );
  }
}

function importsOf(url: string, source: string, original: string): FoundImport[] {
  let found: readonly Import[];
  try {
    [found] = parse(source);
  } catch (error) {
    throw new LoadError("module", `Cannot load ${url}: its imports cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const lines = new Lines(original);
  const imports: FoundImport[] = [];
  for (const entry of found) {
    if (entry.type === "import-meta") continue;
    const line = source === original ? lines.at(entry.importStart) : lines.next(entry.specifier);
    if (entry.phase !== null) {
      throw new LoadError(
        "module",
        `Cannot load ${url}${
          line === undefined ? "" : `:${line}`
        }: import ${entry.phase} is not taken; write a plain import`,
      );
    }
    imports.push({
      specifier: entry.specifier,
      dynamic: entry.type === "dynamic",
      expects: expectedOf(url, entry, source, line),
      line,
    });
  }
  return imports;
}

const LONGEST_OPTION = 200;
/** `{ with: { type: "json" } }`, as the second argument of `import()`. */
const JSON_OPTION =
  /^\{\s*with\s*:\s*\{\s*(?:type|"type"|'type')\s*:\s*(["'])json\1\s*,?\s*\}\s*,?\s*\}\s*,?\s*\)?$/;

function expectedOf(
  url: string,
  entry: StaticImport | DynamicImport,
  source: string,
  line: number | undefined,
): FoundImport["expects"] {
  if (entry.type === "dynamic") {
    if (entry.attributesStart < 0) return "js";
    const end = Math.min(entry.importEnd, entry.attributesStart + LONGEST_OPTION);
    return JSON_OPTION.test(source.slice(entry.attributesStart, end).trim()) ? "json" : undefined;
  }
  const attributes = entry.attributes ?? [];
  for (const [key, value] of attributes) {
    if (key !== "type" || value !== "json") {
      throw new LoadError(
        "module",
        `Cannot load ${url}${line === undefined ? "" : `:${line}`}: import attribute ${
          quote(`${key}: ${value}`)
        } ` +
          'is not taken; expected type: "json" or none',
      );
    }
  }
  return attributes.length > 0 ? "json" : "js";
}

const QUOTES = ['"', "'", "`"];
const MOST_MISSES = 20;

/** Lines of a text. Types are gone from what the imports were read in, so they are looked up as they were written. */
class Lines {
  readonly #text: string;
  readonly #starts: number[] = [0];
  #from = 0;
  #misses = 0;

  constructor(text: string) {
    this.#text = text;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  /** The line of an offset, from 1. */
  at(offset: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  /**
   * The line of the next string with this text; undefined if there is none, as when it is written with escapes.
   * Imports are asked for in their order. Only so many searches may fail: each goes through all that is left.
   */
  next(specifier: string | undefined): number | undefined {
    if (specifier === undefined || this.#misses === MOST_MISSES) return undefined;
    for (let at = this.#from; (at = this.#text.indexOf(specifier, at)) >= 0; at++) {
      const mark = this.#text[at - 1];
      if (!QUOTES.includes(mark) || this.#text[at + specifier.length] !== mark) continue;
      this.#from = at;
      return this.at(at);
    }
    this.#misses++;
    return undefined;
  }
}
