import assert from "node:assert/strict";
import { test } from "node:test";
import {
  concat,
  drain,
  frameBytes,
  framesOf,
  fromHex,
  latin1,
  repeat,
  shown,
  toHex,
} from "../../tests/property/wire.ts";
import { DATA_SIZE, DATA_SIZE_1M, DATA_SIZE_256K } from "./codes.ts";
import { type ProtocolErrorCode } from "./errors.ts";
import { DEFAULT_FRAME_LIMIT, FrameReader, FrameWriter } from "./frame.ts";

const B = 0x42;

/** What the reader may keep besides one frame: room for the next reads. */
const SLACK = 20_000;

function refusal(
  code: ProtocolErrorCode,
  message: RegExp,
): { name: string; code: ProtocolErrorCode; message: RegExp } {
  return { name: "ProtocolError", code, message };
}

/** Gives bytes through `space()` and `commit()`, as a socket does, at most `most` at a time. */
function* arrive(reader: FrameReader, bytes: Uint8Array, most: number): Generator<void> {
  for (let at = 0; at < bytes.length;) {
    const space = reader.space();
    const part = bytes.subarray(at, at + Math.min(most, space.length));
    assert(part.length > 0, `no room after ${at} bytes`);
    space.set(part);
    reader.commit(part.length);
    at += part.length;
    yield;
  }
}

const LENGTHS: readonly (readonly [name: string, payload: number])[] = [
  ["least: length 1, code only", 0],
  ["one payload byte", 1],
  ["default data size, length field 0x00010000", DATA_SIZE],
  ["one over the default data size", DATA_SIZE + 1],
  ["256K data size", DATA_SIZE_256K],
  ["1M data size", DATA_SIZE_1M],
  ["longest of the default limit", DEFAULT_FRAME_LIMIT - 1],
];

for (const [name, size] of LENGTHS) {
  test(`frame length, ${name}`, () => {
    const payload = new Uint8Array(size);
    for (let i = 0; i < size; i++) payload[i] = i * 31;
    const bytes = concat(frameBytes(B, payload), fromHex("00000001 4e"));
    const length = size + 1;
    assert.equal(toHex(bytes.subarray(0, 5)), length.toString(16).padStart(8, "0") + "42");
    const whole = framesOf(bytes);
    assert.equal(whole.length, 2);
    assert.deepEqual(whole[0].payload, payload);
    assert.equal(whole[1].code, 0x4e);

    const reader = new FrameReader();
    const cut: ReturnType<typeof drain> = [];
    for (const _ of arrive(reader, bytes, 1021)) cut.push(...drain(reader));
    assert.deepEqual(cut, whole);
    assert(reader.capacity <= bytes.length + SLACK, `keeps ${reader.capacity} for ${bytes.length}`);
  });
}

test("frame length 0 is refused once its four bytes are there", () => {
  const reader = new FrameReader();
  reader.push(fromHex("000000"));
  assert.equal(reader.next(), false);
  reader.push(fromHex("00"));
  assert.throws(() => reader.next(), refusal("zero-length", /length is 0, the least is 1/));
});

test("frame length 0 after good frames is refused too", () => {
  const reader = new FrameReader();
  reader.push(fromHex("00000001 43 00000000 47455420"));
  assert.equal(reader.next(), true);
  assert.throws(() => reader.next(), refusal("zero-length", /length is 0/));
});

test("frame limit: the limit itself passes, one more does not, and no payload has to come first", () => {
  const limit = 300;
  assert.equal(framesOf(frameBytes(B, new Uint8Array(limit - 1)), new FrameReader(limit)).length, 1);
  const over = new FrameReader(limit);
  over.push(fromHex("0000012d"));
  assert.throws(() => over.next(), refusal("too-large", /length is 301, the limit 300/));
});

test("frame limit: the default takes 1M data size and its length byte for a new frame is unsigned", () => {
  for (
    const [hex, length] of [["80000001", 2147483649], ["ffffffff", 4294967295], [
      "00101001",
      1052673,
    ]] as const
  ) {
    const reader = new FrameReader();
    reader.push(fromHex(hex));
    assert.throws(() => reader.next(), refusal("too-large", new RegExp(`length is ${length}, the limit`)));
  }
});

test("frame limit: a reader with the least limit reads frames without payload", () => {
  const reader = new FrameReader(1);
  reader.push(fromHex("00000001 43 00000001 4e 00000001 41"));
  assert.deepEqual(shown(drain(reader)), ["43", "4e", "41"]);
});

test("fewer than four bytes are no frame and no error", () => {
  const reader = new FrameReader();
  for (const hex of ["00", "00", "00"]) {
    reader.push(fromHex(hex));
    assert.equal(reader.next(), false);
  }
  assert.equal(reader.buffered, 3);
});

test("a refused reader keeps refusing", () => {
  const reader = new FrameReader();
  reader.push(fromHex("00000000"));
  assert.throws(() => reader.next(), refusal("zero-length", /./));
  assert.throws(() => reader.next(), refusal("zero-length", /./));
});

test("push takes more whole frames than the buffer holds", () => {
  const frame = frameBytes(B, latin1("0123456789"));
  const count = 10_000;
  const all = repeat(frame, count);
  const frames = framesOf(all);
  assert.equal(frames.length, count);
  assert(frames.every(({ payload }) => toHex(payload) === "30313233343536373839"));
});

test("space is never empty, even when whole frames wait that nobody takes out", () => {
  const reader = new FrameReader();
  const frame = frameBytes(B, new Uint8Array(1000));
  let pieces = 0;
  for (let i = 0; i < 100; i++) for (const _ of arrive(reader, frame, 1 << 20)) pieces++;
  assert.equal(reader.buffered, 100 * frame.length);
  assert.equal(drain(reader).length, 100);
  assert(pieces < 200, `${pieces} pieces for 100 frames`);
});

test("a held frame keeps its bytes while more is read ahead", () => {
  for (const size of [10, 5000, 16_379, 16_380, 65_535]) {
    const reader = new FrameReader();
    const payload = new Uint8Array(size).fill(0x5a);
    reader.push(frameBytes(B, payload));
    assert.equal(reader.next(), true);
    reader.held = true;
    const { bytes, start, end } = reader;
    for (let i = 0; i < 40; i++) {
      for (const _ of arrive(reader, frameBytes(B, new Uint8Array(3000).fill(i)), 777)) {
        assert.deepEqual(bytes.subarray(start, end), payload, `size ${size}, frame ${i}`);
        assert.deepEqual(
          reader.bytes.subarray(reader.start, reader.end),
          payload,
          "also as the reader shows it",
        );
      }
    }
    reader.held = false;
    const ahead = drain(reader);
    assert.deepEqual(ahead.map((frame) => frame.payload[0]), Array.from({ length: 40 }, (_, i) => i));
    assert(ahead.every((frame) => frame.payload.length === 3000));
  }
});

test("a held frame without payload at the end of the buffer stays as well", () => {
  const reader = new FrameReader(100);
  reader.push(concat(frameBytes(B, new Uint8Array(94)), fromHex("00000001 45")));
  assert.equal(reader.next(), true);
  assert.equal(reader.next(), true);
  reader.held = true;
  reader.push(frameBytes(B, new Uint8Array(90)));
  assert.equal(reader.code, 0x45);
  assert.equal(reader.end - reader.start, 0);
  reader.held = false;
  assert.equal(drain(reader).length, 1);
});

test("a frame that is not held stays until the next space or push", () => {
  const reader = new FrameReader();
  reader.push(concat(frameBytes(B, latin1("first")), frameBytes(B, latin1("second"))));
  reader.next();
  const { bytes, start, end } = reader;
  reader.next();
  assert.equal(toHex(bytes.subarray(start, end)), toHex(latin1("first")));
});

test("memory follows the bytes sent, not the length announced", () => {
  const reader = new FrameReader();
  reader.push(fromHex("00100000 42"));
  assert.equal(reader.next(), false);
  assert(reader.space().length > 0);
  assert(reader.capacity <= SLACK, `${reader.capacity} bytes for 5`);
});

test("a buffer that grew for a large frame is given back when all is read", () => {
  const reader = new FrameReader();
  for (const _ of arrive(reader, frameBytes(B, new Uint8Array(DATA_SIZE_1M)), 65_536)) {
    drain(reader);
  }
  reader.space();
  reader.push(fromHex("00000001 4e"));
  assert.equal(reader.next(), true);
  assert(reader.capacity <= 160_000, `${reader.capacity} bytes kept`);
});

test("a buffer that reads fill grows for the next, up to 64 KiB", () => {
  const reader = new FrameReader();
  const first = reader.capacity;
  const small = frameBytes(B, new Uint8Array(59));
  const seen: number[] = [];
  for (let i = 0; i < 8; i++) {
    const { length } = reader.space();
    seen.push(length);
    assert.equal(length % small.length, 0);
    for (let at = 0; at < length; at += small.length) reader.space().set(small, at);
    reader.commit(length);
    assert.equal(drain(reader).length, length / small.length);
  }
  assert.deepEqual(seen, [first, 16_384, 32_768, 65_536, 65_536, 65_536, 65_536, 65_536]);
});

test("frames of the default data size read in full gulps, with the frames of Postfix between", () => {
  const macros = frameBytes(0x44, latin1("Bi\0" + "4F3ABC\0"));
  const body = frameBytes(B, new Uint8Array(DATA_SIZE));
  const mail = concat(...Array.from({ length: 16 }, () => [macros, body]).flat());
  const reader = new FrameReader();
  let reads = 0;
  let frames = 0;
  for (const _ of arrive(reader, mail, 65_536)) {
    reads++;
    frames += drain(reader).length;
  }
  assert.equal(frames, 32);
  // A read into the last few bytes of the buffer costs a system call, so there may be few of them.
  assert(reads <= 26, `${reads} reads for 16 frames of 64 KiB`);
});

test("writer: frames one behind the other, byte by byte known", () => {
  const out = new FrameWriter();
  out.simple(0x63).begin(0x69).u32(0xfffffffe).text(latin1("X-A")).text(latin1("")).end().simple(0x61);
  assert.equal(toHex(out.view()), "0000000163" + "0000000a69" + "fffffffe582d410000" + "0000000161");
  assert.equal(out.length, out.view().length);
  out.take();
  assert.equal(out.length, 0);
  assert.equal(toHex(out.view()), "");
  out.begin(0x43).u16(0xbca6).u8(0x1ff).end();
  assert.equal(toHex(out.view()), "0000000443bca6ff");
});

test("writer: a frame that was begun and not ended is not sent, and the next begin drops it", () => {
  const out = new FrameWriter();
  out.simple(0x63);
  out.begin(0x68).text(latin1("X-Half"));
  assert.equal(toHex(out.view()), "0000000163");
  assert.equal(out.length, 5);
  out.simple(0x74);
  assert.equal(toHex(out.view()), "0000000163" + "0000000174");
  out.begin(0x71).text(latin1("why"));
  out.begin(0x62).raw(latin1("b")).end();
  assert.equal(toHex(out.view()), "0000000163" + "0000000174" + "000000026262");
});

test("writer: what was taken stays while the next replies are written", () => {
  const out = new FrameWriter();
  const kept: string[] = [];
  for (let i = 0; i < 5; i++) {
    out.simple(0x70 + i);
    const taken = out.take();
    assert.equal(out.length, 0);
    out.begin(0x62).raw(new Uint8Array(400 * i)).end();
    kept.push(toHex(taken));
    out.truncate(0);
  }
  assert.deepEqual(kept, ["0000000170", "0000000171", "0000000172", "0000000173", "0000000174"]);
});

test("writer: grows to any frame, and gives the memory back when taken", () => {
  const out = new FrameWriter();
  const chunk = new Uint8Array(DATA_SIZE_1M).fill(7);
  out.begin(0x62).raw(chunk).end().simple(0x61);
  const frames = framesOf(out.view());
  assert.equal(frames.length, 2);
  assert.deepEqual(frames[0].payload, chunk);
  out.take();
  assert(out.view().buffer.byteLength <= 65_536);
});
