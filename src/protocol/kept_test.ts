import assert from "node:assert/strict";
import { test } from "node:test";
import { kept, room } from "./kept.ts";

test("pieces keep their bytes whatever comes after them, and small ones share a buffer", () => {
  const source = new Uint8Array(10_000).map((_, i) => i * 7);
  const pieces = Array.from({ length: 500 }, (_, i) => {
    const length = [0, 1, 100, 128, 129, 2000, 4096, 4097, 9000][i % 9];
    return { piece: kept(source, i, i + length), from: i, length };
  });
  for (const { piece, from, length } of pieces) {
    assert.deepEqual(piece, source.slice(from, from + length));
  }
  const buffers = new Set(pieces.filter(({ length }) => length <= 4096).map(({ piece }) => piece.buffer));
  assert.ok(buffers.size < 20, `${buffers.size} buffers`);
});

test("room is empty, and long pieces have a buffer of their own", () => {
  kept(new Uint8Array(3000).fill(1), 0, 3000);
  assert.ok(room(3000).every((byte) => byte === 0));
  assert.equal(room(5000).buffer.byteLength, 5000);
});
