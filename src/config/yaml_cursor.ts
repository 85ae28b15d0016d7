/**
 * A reader of YAML characters: blanks, comments, line ends, and the scalars of one line.
 *
 * @module
 */

/** An entry of a map: offset of its key, and its value. */
export interface Entry {
  readonly keyAt: number;
  readonly value: Node;
}

/** A value and the offset where it begins; `opaque` is what the scanner does not look into. */
export type Node =
  | { readonly kind: "map"; readonly at: number; readonly entries: Map<string, Entry> }
  | { readonly kind: "list"; readonly at: number; readonly items: Node[] }
  | { readonly kind: "scalar"; readonly at: number; readonly source: string }
  | { readonly kind: "opaque"; readonly at: number };

/** Thrown inside the scanner to stop at what it does not know; never leaves it. */
export class Stuck extends Error {}

/** A place in a text, moved on by reading. */
export class YamlCursor {
  protected readonly text: string;
  protected at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Characters before this place on its line. */
  protected column(): number {
    return this.at - this.lineStart();
  }

  /** Offset of the first character of this line. */
  protected lineStart(): number {
    let start = this.at;
    while (start > 0 && this.text[start - 1] !== "\n" && this.text[start - 1] !== "\r") start--;
    return start;
  }

  #isMarker(marker: string): boolean {
    return this.text.startsWith(marker, this.at) && this.column() === 0 &&
      isBlank(this.text[this.at + 3]);
  }

  /** Skips `---` and what follows it up to the first value. */
  protected skipDocumentStart(): void {
    if (!this.#isMarker("---")) return;
    this.at += 3;
    this.skipToContent();
  }

  /** At the end of the text or document? */
  protected atEnd(): boolean {
    return this.at >= this.text.length || this.#isMarker("---") || this.#isMarker("...");
  }

  /** Skips to the end of this line. */
  protected skipLine(): void {
    while (this.at < this.text.length && !isBreak(this.text[this.at])) this.at++;
  }

  /** Skips blanks on this line. */
  protected skipBlanks(): void {
    while (this.text[this.at] === " " || this.text[this.at] === "\t") this.at++;
  }

  /** Skips blanks, line ends and comments; tells whether a line ended. */
  protected skipToContent(): boolean {
    let broke = false;
    for (;;) {
      const char = this.text[this.at];
      if (char === " " || char === "\t") {
        this.at++;
      } else if (isBreak(char)) {
        broke = true;
        this.at++;
      } else if (char === "#" && (this.at === 0 || isBlank(this.text[this.at - 1]))) {
        this.skipLine();
      } else {
        return broke;
      }
    }
  }

  /** Skips anchor and tag; gives where the node began if there were any on its own line. */
  protected skipProperties(): number | undefined {
    const start = this.at;
    let broke = false;
    while (this.text[this.at] === "&" || this.text[this.at] === "!") {
      while (!isBlank(this.text[this.at])) this.at++;
      broke = this.skipToContent() || broke;
    }
    return this.at === start || broke ? undefined : start;
  }

  /** Skips blanks and the colon of a key; gives false if there is none on this line. */
  protected skipColon(): boolean {
    this.skipBlanks();
    if (this.text[this.at] !== ":" || !isBlank(this.text[this.at + 1])) return false;
    this.at++;
    return true;
  }

  /** Reads a scalar in quotes. */
  protected quoted(): Node {
    const at = this.at;
    const quote = this.text[this.at++];
    for (; this.at < this.text.length; this.at++) {
      const char = this.text[this.at];
      if (char === "\\" && quote === '"') this.at++;
      else if (char === quote && quote === "'" && this.text[this.at + 1] === "'") this.at++;
      else if (char === quote) {
        this.at++;
        return { kind: "scalar", at, source: this.text.slice(at, this.at) };
      }
    }
    throw new Stuck();
  }

  /** Runs to the end of the plain text on this line; gives where it ends without blanks. */
  protected plainLine(flow: boolean): number {
    const start = this.at;
    let end = start;
    for (; this.at < this.text.length; this.at++) {
      const char = this.text[this.at];
      const next = this.text[this.at + 1];
      if (isBreak(char) || flow && /[,\[\]{}]/.test(char)) break;
      if (char === ":" && (isBlank(next) || flow && /[,\[\]{}]/.test(next))) break;
      if (char === "#" && isBlank(this.text[this.at - 1])) break;
      if (char !== " " && char !== "\t") end = this.at + 1;
    }
    // Nothing taken means a character that starts no scalar: going on would never end.
    if (end === start) throw new Stuck();
    return end;
  }
}

/** Is it the end of a line? */
export function isBreak(char: string | undefined): boolean {
  return char === "\n" || char === "\r";
}

/** Blank, line end, or end of text. */
export function isBlank(char: string | undefined): boolean {
  return char === undefined || char === " " || char === "\t" || isBreak(char);
}

/** The key as the parser gives it, as far as that needs no parser; a quoted key with escapes is not found later. */
export function keyText(key: Node): string {
  if (key.kind !== "scalar") return "";
  const { source } = key;
  if (source.startsWith("'")) return source.slice(1, -1).replaceAll("''", "'");
  if (source.startsWith('"')) return source.slice(1, -1);
  return source;
}
