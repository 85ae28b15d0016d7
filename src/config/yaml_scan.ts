/**
 * A scanner that notes where the values of a YAML text begin.
 *
 * The YAML parser gives values without positions, so this walks the text a second time. It need not judge: the text
 * was parsed before, so it is well formed. It knows the YAML that people write by hand (block and flow collections,
 * quoted, plain and block scalars, comments, anchors, aliases, tags). At anything else it stops; what it has seen
 * until then stands.
 *
 * @module
 */
import { type Entry, isBlank, isBreak, keyText, type Node, Stuck, YamlCursor } from "./yaml_cursor.ts";

/** Deeper nesting is located at the parent on this level; keeps hostile texts from using up the stack. */
const MAX_DEPTH = 64;

class Scanner extends YamlCursor {
  #depth = 0;

  /** Scans the first document. What was scanned before the scanner got stuck stays usable. */
  document(): Node {
    let root: Node = { kind: "opaque", at: 0 };
    try {
      this.skipToContent();
      while (this.text[this.at] === "%" && this.column() === 0) {
        this.skipLine();
        this.skipToContent();
      }
      this.skipDocumentStart();
      this.#block(-1, (node) => root = node);
    } catch (error) {
      if (!(error instanceof Stuck)) throw error;
    }
    return root;
  }

  /**
   * Scans a node in block context. `parent` is the column of the collection around it: the node stands deeper.
   * `found` gets a collection as soon as it begins, so that it is kept even if the scanner gets stuck inside.
   */
  #block(parent: number, found: (node: Node) => void): void {
    if (++this.#depth > MAX_DEPTH) throw new Stuck();
    const start = this.at;
    const properties = this.skipProperties();
    if (this.atEnd() || this.column() <= parent) {
      found({ kind: "scalar", at: start, source: "" });
    } else {
      const char = this.text[this.at];
      if (char === "-" && isBlank(this.text[this.at + 1])) this.#blockList(found);
      else if (char === "?" && isBlank(this.text[this.at + 1])) throw new Stuck();
      else if (char === "|" || char === ">") this.#blockScalar(parent, found);
      else this.#mapOrSingle(parent, properties, found);
    }
    this.#depth--;
  }

  #blockList(found: (node: Node) => void): void {
    const column = this.column();
    const list = { kind: "list" as const, at: this.at, items: [] as Node[] };
    found(list);
    while (
      !this.atEnd() && this.column() === column && this.text[this.at] === "-" &&
      isBlank(this.text[this.at + 1])
    ) {
      const dash = this.at++;
      const index = list.items.length;
      list.items.push({ kind: "scalar", at: dash, source: "" });
      this.skipToContent();
      if (this.atEnd() || this.column() <= column) continue;
      this.#block(column, (node) => list.items[index] = node);
      this.skipToContent();
    }
  }

  /** A block map, or a single scalar, alias or flow collection: told apart by a colon behind the first token. */
  #mapOrSingle(parent: number, properties: number | undefined, found: (node: Node) => void): void {
    const at = properties ?? this.at;
    const column = at - this.lineStart();
    const first = this.at;
    const single = this.#token(parent, true);
    const end = this.at;
    if (!this.skipColon()) {
      this.at = end;
      found(single);
      return;
    }
    const map = { kind: "map" as const, at, entries: new Map<string, Entry>() };
    found(map);
    this.#entry(map.entries, first, keyText(single), column);
    for (;;) {
      this.skipToContent();
      if (this.atEnd() || this.column() !== column) return;
      if (this.text[this.at] === "-" && isBlank(this.text[this.at + 1])) return;
      if (this.text[this.at] === "?" && isBlank(this.text[this.at + 1])) throw new Stuck();
      const keyAt = this.at;
      this.skipProperties();
      const key = this.#token(column, true);
      if (!this.skipColon()) throw new Stuck();
      this.#entry(map.entries, keyAt, keyText(key), column);
    }
  }

  /** Scans the value of a block map entry, the colon behind it. */
  #entry(entries: Map<string, Entry>, keyAt: number, key: string, column: number): void {
    const set = (value: Node) => entries.set(key, { keyAt, value });
    // A value that is not there is located at its key.
    set({ kind: "scalar", at: keyAt, source: "" });
    const broke = this.skipToContent();
    if (this.atEnd()) return;
    const here = this.column();
    // A list may stand as deep as the key that it belongs to.
    const listBelow = here === column && this.text[this.at] === "-" && isBlank(this.text[this.at + 1]);
    if (broke && here <= column && !listBelow) return;
    this.#block(listBelow ? column - 1 : column, set);
  }

  /** A flow collection, alias, quoted or plain scalar in block context. */
  #token(parent: number, block: boolean): Node {
    const at = this.at;
    switch (this.text[at]) {
      case "[":
      case "{":
        return this.#flow();
      case '"':
      case "'":
        return this.quoted();
      case "*":
        while (!isBlank(this.text[this.at]) && !(!block && /[,\[\]{}]/.test(this.text[this.at]))) {
          this.at++;
        }
        return { kind: "opaque", at };
      default:
        return block ? this.#plainBlock(parent) : this.#plainFlow();
    }
  }

  /** A plain scalar; further lines that stand deeper than `parent` belong to it unless it turns out to be a key. */
  #plainBlock(parent: number): Node {
    const at = this.at;
    let end = this.plainLine(false);
    for (;;) {
      this.at = end;
      this.skipBlanks();
      const char = this.text[this.at];
      if (char === ":" || char === "#" || !isBreak(char)) break;
      while (isBlank(this.text[this.at]) && this.at < this.text.length) this.at++;
      if (this.atEnd() || this.column() <= parent || this.text[this.at] === "#") break;
      end = this.plainLine(false);
    }
    this.at = end;
    return { kind: "scalar", at, source: this.text.slice(at, end) };
  }

  #plainFlow(): Node {
    const at = this.at;
    let end = this.plainLine(true);
    for (;;) {
      this.at = end;
      this.skipToContent();
      const char = this.text[this.at];
      if (char === undefined || /[,\[\]{}:]/.test(char)) break;
      end = this.plainLine(true);
    }
    this.at = end;
    return { kind: "scalar", at, source: this.text.slice(at, end) };
  }

  /** A literal or folded scalar: its lines stand deeper than the parent, or are empty. */
  #blockScalar(parent: number, found: (node: Node) => void): void {
    found({ kind: "opaque", at: this.at });
    this.skipLine();
    while (this.at < this.text.length) {
      const lineEnd = this.at;
      this.at += this.text.startsWith("\r\n", this.at) ? 2 : 1;
      while (this.text[this.at] === " ") this.at++;
      if (isBreak(this.text[this.at]) || this.at >= this.text.length) continue;
      if (this.column() <= parent || this.atEnd()) {
        this.at = lineEnd;
        return;
      }
      this.skipLine();
    }
  }

  #flow(): Node {
    if (++this.#depth > MAX_DEPTH) throw new Stuck();
    const node = this.text[this.at] === "[" ? this.#flowList() : this.#flowMap();
    this.#depth--;
    return node;
  }

  #flowList(): Node {
    const list = { kind: "list" as const, at: this.at++, items: [] as Node[] };
    for (;;) {
      this.skipToContent();
      if (this.text[this.at] === "]") break;
      list.items.push(this.#flowItem());
      this.#flowComma("]");
    }
    this.at++;
    return list;
  }

  /** One entry of a flow list; `a: b` there is a map of one entry. */
  #flowItem(): Node {
    const at = this.at;
    this.skipProperties();
    const item = this.#token(-1, false);
    this.skipToContent();
    if (this.text[this.at] !== ":") return item;
    const entries = new Map<string, Entry>();
    this.#flowValue(entries, at, item);
    return { kind: "map", at, entries };
  }

  #flowMap(): Node {
    const map = { kind: "map" as const, at: this.at++, entries: new Map<string, Entry>() };
    for (;;) {
      this.skipToContent();
      if (this.text[this.at] === "}") break;
      const keyAt = this.at;
      this.skipProperties();
      if (this.text[this.at] === "?" && isBlank(this.text[this.at + 1])) throw new Stuck();
      const key = this.#token(-1, false);
      this.skipToContent();
      this.#flowValue(map.entries, keyAt, key);
      this.#flowComma("}");
    }
    this.at++;
    return map;
  }

  /** The value behind a flow key, which may be missing. */
  #flowValue(entries: Map<string, Entry>, keyAt: number, key: Node): void {
    let value: Node = { kind: "scalar", at: keyAt, source: "" };
    if (this.text[this.at] === ":") {
      this.at++;
      this.skipToContent();
      this.skipProperties();
      if (!/[,\]}]/.test(this.text[this.at] ?? ",")) value = this.#token(-1, false);
    }
    entries.set(keyText(key), { keyAt, value });
  }

  #flowComma(close: string): void {
    this.skipToContent();
    if (this.text[this.at] === ",") this.at++;
    else if (this.text[this.at] !== close) throw new Stuck();
  }
}

/** The tree of positions of the first document in a text that was parsed without error. */
export function scanYaml(text: string): Node {
  return new Scanner(text).document();
}
