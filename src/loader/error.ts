/**
 * What goes wrong between a filter's address and its pinned code.
 *
 * @module
 */

/**
 * - `use`: the address of a filter is none that can be loaded
 * - `network`: a server did not give what was asked for
 * - `limit`: more modules, bytes, redirects or time than allowed
 * - `module`: a module is not what it must be, or imports what it may not
 * - `lock`: `millrace.lock` is not readable, or does not pin the filter
 * - `cache`: an archive is missing, or is not the pinned one
 */
export type LoadErrorKind = "use" | "network" | "limit" | "module" | "lock" | "cache";

/** Where an import stands. */
export interface Importer {
  /** URL of the importing module. */
  readonly url: string;
  /** Line of the import in the text as fetched, from 1; undefined where it cannot be told. */
  readonly line: number | undefined;
}

/** A filter cannot be locked or loaded. The message names the module, the reason, and who imported it. */
export class LoadError extends Error {
  override readonly name = "LoadError";
  readonly kind: LoadErrorKind;

  constructor(kind: LoadErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Longest piece of foreign text in a message. */
const LONGEST_QUOTE = 300;

/** Text of strangers for one line of a message: short, and nothing in it can steer a terminal. */
export function plain(text: string, limit: number = LONGEST_QUOTE): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => {
    if (char === "\n") return "\\n";
    return `\\u{${char.codePointAt(0)!.toString(16)}}`;
  });
}

/** The same in quotes. */
export function quote(text: string): string {
  return `"${plain(text)}"`;
}

/** The words of anything thrown, its causes included: `fetch` puts the reason there. */
export function reasonOf(error: unknown): string {
  const words: string[] = [];
  for (let at = error; at instanceof Error && words.length < 4; at = at.cause) {
    if (!words.some((known) => known.includes(at.message))) words.push(at.message);
  }
  return words.length > 0 ? plain(words.join(": ")) : plain(String(error));
}

/** An error with the chain of imports that led to it, down to the filter's entry. */
export function withImporters(error: LoadError, importers: readonly Importer[]): LoadError {
  if (importers.length === 0) return error;
  const lines = importers.map(({ url, line }) =>
    `\n  imported by ${plain(url)}${line === undefined ? "" : `:${line}`}`
  );
  // A long chain says no more than its two ends.
  const shown = lines.length > 12 ? [...lines.slice(0, 6), "\n  …", ...lines.slice(-5)] : lines;
  return new LoadError(error.kind, error.message + shown.join(""), { cause: error.cause ?? error });
}
