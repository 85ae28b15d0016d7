/**
 * Bytes of header fields that lie one behind the other, decoded many at a time: one call of the decoder costs about as
 * much for a field as for a whole header.
 *
 * @module
 */

const decoder = new TextDecoder();

/** The most bytes decoded at once. */
const WINDOW = 4096;

/** A buffer with fields in it. */
export class HeaderBlock {
  readonly bytes: Uint8Array;
  /** Where the bytes end that are filled in. */
  end: number;
  /** What was decoded last, and from where to where. Undefined if its characters are not one byte each. */
  #text: string | undefined;
  #from = 0;
  #to = 0;

  /** @param bytes Kept, not copied. @param end Where the bytes end that are filled in already. */
  constructor(bytes: Uint8Array, end: number = bytes.length) {
    this.bytes = bytes;
    this.end = end;
  }

  /** The bytes from `from` up to `to` as text (UTF-8). No character may begin before and end behind either of them. */
  text(from: number, to: number): string {
    if (from < this.#from || to > this.#to) this.#decode(from, to);
    return this.#text === undefined
      ? decoder.decode(this.bytes.subarray(from, to))
      : this.#text.slice(from - this.#from, to - this.#from);
  }

  #decode(from: number, to: number): void {
    this.#from = from;
    this.#to = Math.min(this.end, Math.max(to, from + WINDOW));
    const text = decoder.decode(this.bytes.subarray(from, this.#to));
    this.#text = text.length === this.#to - from ? text : undefined;
  }
}
