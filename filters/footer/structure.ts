/**
 * The MIME structure of a body, with positions (RFC 2046).
 *
 * Own code, for reasons that were tried out: mailsplit, the fitting library, doubles a part header that runs into a
 * boundary, so untouched bytes do not stay; does not see a boundary with blanks behind it, nor that of a multipart two
 * levels up, so a footer would land in an attachment; gives no positions; and takes a timer turn for each line. Parsers
 * that build a tree (postal-mime, mailparser) cannot write the mail again.
 *
 * @module
 */
import { type ParsedValue, parseValue } from "./content_type.ts";
import { latin1 } from "./transfer.ts";

/** Most parts of a mail; one with more is left alone. */
const MAX_PARTS = 1000;
/** Most levels of nested multiparts. */
const MAX_DEPTH = 20;
/** Most bytes of a part's header. */
const MAX_PART_HEADER = 65_536;
/** Longest boundary taken, in bytes. RFC 2046 allows 70; some programs do not care. */
const MAX_BOUNDARY = 200;

/** A header field; `value` has one character a byte, folds included, as it stands. */
export interface Field {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
  /** Where the value starts and ends in the body; both 0 for fields of the mail's own header. */
  readonly start: number;
  readonly end: number;
}

/** A part of the mail, the mail itself included. */
export interface Part {
  /** As IMAP counts (RFC 3501 section 6.4.5): `"2.1"`; `""` is the mail itself. */
  readonly path: string;
  readonly fields: readonly Field[];
  /** Content-Type, also when only implied: `text/plain`. */
  readonly type: ParsedValue;
  readonly disposition: ParsedValue | undefined;
  /** Content-Transfer-Encoding in lower case; `""` if there is none. */
  readonly encoding: string;
  readonly children: readonly Part[];
  /** The boundaries of the multiparts around it. */
  readonly boundaries: readonly string[];
  /** Where the header ends in the body (the empty line starts here); 0 for the mail itself. */
  readonly headerEnd: number;
  /** Where the content starts and ends in the body; undefined for a multipart, and for a part without an empty line. */
  readonly content: { readonly start: number; readonly end: number } | undefined;
}

/** What a scan found: the mail, or why it cannot be understood, with the parts up to there. */
export type Structure =
  | { readonly kind: "mail"; readonly root: Part }
  | { readonly kind: "malformed"; readonly reason: string; readonly root: Part | undefined };

interface OpenPart extends Part {
  children: OpenPart[];
  content: { start: number; end: number } | undefined;
}

class Malformed extends Error {}

/** Is this a multipart? */
export function isMultipart(part: Pick<Part, "type">): boolean {
  return part.type.value.startsWith("multipart/");
}

/** Takes a mail apart in one pass over its body; attached messages stay closed. Never throws. */
export function scan(fields: readonly Field[], body: Uint8Array): Structure {
  let root: OpenPart | undefined;
  try {
    root = makePart(fields, undefined, 0, []);
    if (isMultipart(root)) new Scanner(body).run(root);
    else root.content = { start: 0, end: body.length };
    return { kind: "mail", root };
  } catch (error) {
    if (error instanceof Malformed) return { kind: "malformed", reason: error.message, root };
    throw error;
  }
}

class Scanner {
  readonly #body: Uint8Array;
  /** Open multiparts from the outside in, and their boundaries with the level. */
  readonly #open: { readonly part: OpenPart; readonly boundary: string }[] = [];
  readonly #levels = new Map<string, number>();
  /** How long a line with a boundary can be, without "--" before it: most lines of dashes need no closer look. */
  readonly #lengths = new Set<number>();
  #parts = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  /** @throws {Malformed} */
  run(root: OpenPart): void {
    this.#enter(root);
    // The part whose content, or whose header, the current line belongs to; none in a preamble or an epilogue.
    let leaf: OpenPart | undefined;
    let headerStart: number | undefined;
    let previousEnd = 0;
    for (let at = 0; at < this.#body.length;) {
      const newline = this.#body.indexOf(0x0a, at);
      const next = newline < 0 ? this.#body.length : newline + 1;
      const end = newline < 0 ? next : newline - (newline > at && this.#body[newline - 1] === 0x0d ? 1 : 0);
      const found = this.#boundary(at, end);
      if (found !== undefined) {
        // A boundary right behind a header: a part without an empty line, so without content.
        if (headerStart !== undefined) this.#begin(headerStart, at);
        else if (leaf?.content !== undefined) leaf.content.end = Math.max(leaf.content.start, previousEnd);
        leaf = undefined;
        headerStart = undefined;
        if (found.level !== this.#open.length - 1) throw new Malformed("missing end boundary");
        if (found.closes) this.#leave();
        else headerStart = next;
        if (this.#open.length === 0) return;
      } else if (headerStart !== undefined) {
        if (end === at) {
          leaf = this.#begin(headerStart, at);
          if (isMultipart(leaf)) {
            this.#enter(leaf);
            leaf = undefined;
          } else {
            leaf.content = { start: next, end: this.#body.length };
          }
          headerStart = undefined;
        } else if (next - headerStart > MAX_PART_HEADER) {
          throw new Malformed("too long part header");
        }
      }
      previousEnd = end;
      at = next;
    }
    throw new Malformed("missing end boundary");
  }

  /** The level and kind of the boundary in a line; blanks may follow it (RFC 2046 section 5.1.1). */
  #boundary(at: number, end: number): { readonly level: number; readonly closes: boolean } | undefined {
    if (this.#body[at] !== 0x2d || this.#body[at + 1] !== 0x2d) return undefined;
    let stop = end;
    while (this.#body[stop - 1] === 0x20 || this.#body[stop - 1] === 0x09) stop--;
    if (!this.#lengths.has(stop - at - 2)) return undefined;
    const line = String.fromCharCode(...this.#body.subarray(at + 2, stop));
    const level = this.#levels.get(line);
    if (level !== undefined) return { level, closes: false };
    if (!line.endsWith("--")) return undefined;
    const closed = this.#levels.get(line.slice(0, -2));
    return closed === undefined ? undefined : { level: closed, closes: true };
  }

  #enter(part: OpenPart): void {
    const boundary = part.type.parameters.find(({ name }) => name === "boundary")?.value
      .replace(/[ \t]+$/, "");
    if (boundary === undefined || boundary === "" || boundary.length > MAX_BOUNDARY) {
      throw new Malformed("multipart without a boundary");
    }
    // Whose part a line then starts, or that it ends one and not starts another, would be a guess.
    if ([boundary, `${boundary}--`, boundary.replace(/--$/, "")].some((other) => this.#levels.has(other))) {
      throw new Malformed("one boundary for two multiparts");
    }
    if (!["", "7bit", "8bit", "binary"].includes(part.encoding)) throw new Malformed("encoded multipart");
    if (this.#open.length >= MAX_DEPTH) throw new Malformed("nested too deep");
    this.#levels.set(boundary, this.#open.length);
    this.#lengths.add(boundary.length).add(boundary.length + 2);
    this.#open.push({ part, boundary });
  }

  #leave(): void {
    const left = this.#open.pop();
    if (left === undefined) return;
    this.#levels.delete(left.boundary);
    if (left.part.children.length === 0) throw new Malformed("multipart without parts");
  }

  #begin(start: number, end: number): OpenPart {
    const parent = this.#open.at(-1)?.part;
    if (++this.#parts > MAX_PARTS) throw new Malformed("too many parts");
    const boundaries = this.#open.map(({ boundary }) => boundary);
    const part = makePart(readFields(this.#body, start, end), parent, end, boundaries);
    parent?.children.push(part);
    return part;
  }
}

/** What a part without a Content-Type is. (In a digest a message, RFC 2046 section 5.1.5, but nothing enters one.) */
const TEXT: ParsedValue = { value: "text/plain", parameters: [] };

function makePart(
  fields: readonly Field[],
  parent: OpenPart | undefined,
  headerEnd: number,
  boundaries: readonly string[],
): OpenPart {
  const type = one(fields, "content-type");
  const parsed = type === undefined ? TEXT : parseValue(type);
  if (parsed === undefined || !parsed.value.includes("/")) throw new Malformed("Content-Type not understood");
  const disposition = one(fields, "content-disposition");
  const encoding = one(fields, "content-transfer-encoding");
  return {
    path: parent === undefined ? "" : `${parent.path}${parent.path && "."}${parent.children.length + 1}`,
    fields,
    type: parsed,
    // What cannot be understood is an attachment (RFC 2183 section 2.8).
    disposition: disposition === undefined
      ? undefined
      : parseValue(disposition) ?? { value: "attachment", parameters: [] },
    encoding: encoding === undefined ? "" : parseValue(encoding)?.value ?? "unknown",
    children: [],
    boundaries,
    headerEnd,
    content: undefined,
  };
}

function one(fields: readonly Field[], name: string): string | undefined {
  const found = fields.filter((field) => field.name === name);
  if (found.length > 1) throw new Malformed(`several ${name} fields`);
  return found[0]?.value;
}

/** The fields of a part's header; a line that is none is passed over. */
function readFields(body: Uint8Array, start: number, end: number): Field[] {
  const text = latin1(body.subarray(start, end));
  const fields: Field[] = [];
  for (const match of text.matchAll(/^([!-9;-~]+)[ \t]*:((?:.|\r?\n[ \t]|\r(?!\n))*)/gm)) {
    const name = match[1] ?? "";
    const value = (match[2] ?? "").replace(/\r$/, "");
    const at = start + match.index + match[0].length - (match[2] ?? "").length;
    fields.push({ name: name.toLowerCase(), value, start: at, end: at + value.length });
  }
  return fields;
}
