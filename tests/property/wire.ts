/**
 * Short words for tests about bytes: text and hex to bytes and back, all frames of a byte string.
 *
 * @module
 */
import { FrameReader, FrameWriter } from "../../src/protocol/mod.ts";

const encoder = new TextEncoder();

/** Bytes of a text, UTF-8. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes of a text, one for each character up to U+00FF. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes written as hex digits; blanks between them are passed over. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Hex digits of bytes. */
export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** Byte strings one behind the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The same bytes many times. */
export function repeat(bytes: Uint8Array, count: number): Uint8Array {
  const all = new Uint8Array(bytes.length * count);
  for (let i = 0; i < count; i++) all.set(bytes, i * bytes.length);
  return all;
}

/** A frame as an independent value. */
export type Frame = { readonly code: number; readonly payload: Uint8Array };

/** The bytes of a frame. */
export function frameBytes(code: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new FrameWriter().begin(code).raw(payload).end().view();
}

/** The frames that a reader can give now, as copies. */
export function drain(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  while (reader.next()) {
    frames.push({ code: reader.code, payload: reader.bytes.slice(reader.start, reader.end) });
  }
  return frames;
}

/** The frames of a byte string that arrives at once. */
export function framesOf(bytes: Uint8Array, reader: FrameReader = new FrameReader()): Frame[] {
  reader.push(bytes);
  return drain(reader);
}

/** A word that tests compare with: code letter and payload in hex. */
export function shown(frames: readonly Frame[]): string[] {
  return frames.map(({ code, payload }) => `${code.toString(16).padStart(2, "0")} ${toHex(payload)}`.trim());
}
