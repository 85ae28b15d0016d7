/**
 * Header fields in order, with their bytes; decoded only when read.
 *
 * @module
 */
import { decodeWords } from "./encoded_word.ts";
import { HeaderBlock } from "./header_block.ts";

const encoder = new TextEncoder();

/** One header field (RFC 5322 section 2.2). Name and value keep their bytes; text is decoded when first read. */
export class HeaderField {
  readonly #block: HeaderBlock;
  readonly #start: number;
  readonly #nameEnd: number;
  readonly #end: number;
  #name: string | undefined;
  #value: string | undefined;

  /**
   * A field inside a larger buffer: name from `start` to `nameEnd`, one byte between, value up to `end`.
   */
  constructor(block: HeaderBlock, start: number, nameEnd: number, end: number) {
    this.#block = block;
    this.#start = start;
    this.#nameEnd = nameEnd;
    this.#end = end;
  }

  /** Makes a field from its parts; text is encoded as UTF-8. */
  static of(name: string, value: string | Uint8Array): HeaderField {
    const n = encoder.encode(name);
    const v = typeof value === "string" ? encoder.encode(value) : value;
    const bytes = new Uint8Array(n.length + 1 + v.length);
    bytes.set(n, 0);
    bytes.set(v, n.length + 1);
    return new HeaderField(new HeaderBlock(bytes), 0, n.length, bytes.length);
  }

  /** The name in the sender's spelling. */
  get name(): string {
    return this.#name ??= this.#block.text(this.#start, this.#nameEnd);
  }

  /** The value, unfolded (RFC 5322 section 2.2.3), without blanks at its ends, decoded as UTF-8. */
  get value(): string {
    return this.#value ??= unfolded(this.#block.text(this.#nameEnd + 1, this.#end)).trim();
  }

  /** The value for people: as {@linkcode value}, with encoded words decoded (RFC 2047). */
  get text(): string {
    return decodeWords(this.value);
  }

  /** The value as the MTA sent it, byte for byte: folds as LF and a blank, no line end. A copy. */
  get raw(): Uint8Array<ArrayBuffer> {
    return this.#block.bytes.slice(this.#nameEnd + 1, this.#end);
  }

  /** The name as the MTA sent it, byte for byte. A copy. */
  get rawName(): Uint8Array<ArrayBuffer> {
    return this.#block.bytes.slice(this.#start, this.#nameEnd);
  }
}

function unfolded(text: string): string {
  // Most values have one line.
  return text.includes("\n") ? text.replace(/\r?\n(?=[ \t])/g, "") : text;
}

/** The header of a mail: fields in order, duplicates kept; access by name ignores case. */
export class HeaderList implements Iterable<HeaderField> {
  readonly #fields: readonly HeaderField[];

  /** @param fields The fields from top to bottom; the array is kept, so it can grow while a header arrives. */
  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields;
  }

  /** Number of fields. */
  get length(): number {
    return this.#fields.length;
  }

  /** The field at a position from 0, from the top; undefined past the end. */
  at(index: number): HeaderField | undefined {
    return this.#fields[index];
  }

  /** Value of the first field of that name, unfolded and trimmed; undefined if there is none. */
  get(name: string): string | undefined {
    return this.field(name)?.value;
  }

  /** The first field of that name. */
  field(name: string): HeaderField | undefined {
    const wanted = name.toLowerCase();
    return this.#fields.find((field) => field.name.toLowerCase() === wanted);
  }

  /** All fields of that name, from top to bottom. */
  all(name: string): HeaderField[] {
    const wanted = name.toLowerCase();
    return this.#fields.filter((field) => field.name.toLowerCase() === wanted);
  }

  /** Is there a field of that name? */
  has(name: string): boolean {
    return this.field(name) !== undefined;
  }

  [Symbol.iterator](): Iterator<HeaderField> {
    return this.#fields[Symbol.iterator]();
  }
}
