import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeaderBlock } from "./header_block.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** ASCII, other text, a byte order mark, and bytes that are no text. */
const part = fc.oneof(
  fc.string({ maxLength: 60 }).map((text) => encoder.encode(text.replaceAll("\0", ""))),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => encoder.encode(text.replaceAll("\0", ""))),
  fc.constant(encoder.encode("\ufeffmark")),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => bytes.map((byte) => byte || 1)),
  fc.nat(5000).map((length) => new Uint8Array(length).fill(0x61)),
);

test("parts of a block read as they would by themselves, in any order, also while it fills", () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 12 }), fc.array(fc.nat()), (parts, order) => {
      const block = new HeaderBlock(
        new Uint8Array(parts.reduce((sum, { length }) => sum + length + 1, 0)),
        0,
      );
      const places: (readonly [from: number, to: number, text: string])[] = [];
      for (const bytes of parts) {
        block.bytes.set(bytes, block.end);
        places.push([block.end, block.end + bytes.length, decoder.decode(bytes)]);
        block.end += bytes.length + 1;
        const [from, to, text] = places[places.length - 1];
        if (bytes.length % 2 === 0) assert.equal(block.text(from, to), text);
      }
      for (const n of order) {
        const [from, to, text] = places[n % places.length];
        assert.equal(block.text(from, to), text);
      }
    }),
  );
});
