// The frame reader: however bytes arrive, the same frames; whatever bytes arrive, frames or the one typed error.
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeCommand,
  encodeReply,
  FrameReader,
  FrameWriter,
  MacroStore,
  nextState,
  parseCommand,
  parseReply,
  ProtocolError,
  SMFIC,
  State,
  step,
} from "../../src/protocol/mod.ts";
import { bytes, command, cuts, damage, pieces, reply, spoil } from "./arbitraries.ts";
import { concat, drain, type Frame, frameBytes, framesOf, repeat } from "./wire.ts";

const LIMIT = 100_000;
/** What the buffer may be larger than one frame: its first size, or room behind a frame that is collected. */
const SLACK = 16_384;

/** Frames of all sizes, small ones mostly; the content tells one from another. */
const frame: fc.Arbitrary<Frame> = fc.tuple(
  fc.integer({ min: 0, max: 255 }),
  fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 30 }) }, fc.integer({ min: 0, max: LIMIT - 1 })),
  fc.integer({ min: 0, max: 255 }),
).map(([code, length, seed]) => {
  const payload = new Uint8Array(length);
  for (let i = 0; i < length; i++) payload[i] = seed + i * 7;
  return { code, payload };
});

const frames = fc.array(frame, { minLength: 1, maxLength: 12 });

function streamOf(list: readonly Frame[]): Uint8Array {
  return concat(...list.map(({ code, payload }) => frameBytes(code, payload)));
}

/** Compares payloads quickly: the strict comparison of large arrays is slow. */
function same(actual: readonly Frame[], expected: readonly Frame[]): void {
  assert.deepEqual(
    actual.map(({ code, payload }) => [code, payload.length]),
    expected.map(({ code, payload }) => [code, payload.length]),
  );
  for (const [i, { payload }] of actual.entries()) {
    assert(payload.every((byte, at) => byte === expected[i].payload[at]), `payload of frame ${i}`);
  }
}

/** Gives bytes through `space()` and `commit()`, at most as many as fit, and says how many. */
function pour(reader: FrameReader, chunk: Uint8Array): number {
  const space = reader.space();
  assert(space.length > 0, "there is always room");
  const count = Math.min(space.length, chunk.length);
  space.set(chunk.subarray(0, count));
  reader.commit(count);
  return count;
}

test("any cut of the bytes gives the same frames, pushed", () => {
  fc.assert(
    fc.property(frames, cuts, (list, sizes) => {
      const reader = new FrameReader(LIMIT);
      const got: Frame[] = [];
      for (const piece of pieces(streamOf(list), sizes)) {
        reader.push(piece);
        got.push(...drain(reader));
        assert(reader.capacity <= LIMIT + SLACK + piece.length + 128 * 1024, `${reader.capacity}`);
      }
      same(got, list);
      assert.equal(reader.buffered, 0);
    }),
    { numRuns: 150 },
  );
});

test("any cut of the bytes gives the same frames, read into the buffer, which stays below one frame and some room", () => {
  fc.assert(
    fc.property(frames, cuts, (list, sizes) => {
      const reader = new FrameReader(LIMIT);
      const got: Frame[] = [];
      for (const piece of pieces(streamOf(list), sizes)) {
        for (let at = 0; at < piece.length;) {
          at += pour(reader, piece.subarray(at));
          got.push(...drain(reader));
          assert(reader.capacity <= LIMIT + SLACK, `${reader.capacity}`);
        }
      }
      same(got, list);
    }),
    { numRuns: 150 },
  );
});

test("all bytes at once give the same frames, and so do they with a part of the next behind", () => {
  fc.assert(
    fc.property(frames, fc.integer({ min: 0, max: 3 }), (list, extra) => {
      same(framesOf(concat(streamOf(list), new Uint8Array(extra)), new FrameReader(LIMIT)), list);
    }),
    { numRuns: 50 },
  );
});

/** What a driver does: bytes come, frames are taken one by one, a hook holds one of them, the hook is done. */
const act = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("arrive" as const), length: fc.integer({ min: 1, max: 9000 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("push" as const), length: fc.integer({ min: 0, max: 9000 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("take" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("hold" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const) }) },
);

test("a held frame stays whatever arrives, and no byte of what arrives is lost", () => {
  const small = fc.array(frame.map(({ code, payload }) => ({ code, payload: payload.subarray(0, 20_000) })), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(small, fc.array(act, { maxLength: 80 }), (list, acts) => {
      const stream = streamOf(list);
      const reader = new FrameReader(LIMIT);
      const got: Frame[] = [];
      let at = 0;
      let held: Frame | undefined;
      const check = () => {
        if (held === undefined) return;
        assert.equal(reader.code, held.code);
        same([{ code: reader.code, payload: reader.bytes.subarray(reader.start, reader.end) }], [held]);
      };
      const take = () => {
        held = undefined;
        reader.held = false;
        if (!reader.next()) return false;
        got.push({ code: reader.code, payload: reader.bytes.slice(reader.start, reader.end) });
        return true;
      };
      for (const { kind, ...more } of acts) {
        const length = "length" in more ? more.length : 0;
        if (kind === "take") take();
        else if (kind === "hold") {
          if (take()) {
            held = got.at(-1);
            reader.held = true;
          }
        } else if (kind === "release") {
          held = undefined;
          reader.held = false;
        } else if (kind === "push") {
          reader.push(stream.subarray(at, at + length));
          at = Math.min(stream.length, at + length);
        } else if (at < stream.length) {
          at += pour(reader, stream.subarray(at, at + length));
        }
        check();
        assert(reader.capacity <= 4 * Math.max(stream.length, 16_384), "memory follows the bytes sent");
      }
      reader.push(stream.subarray(at));
      check();
      while (take());
      same(got, list);
    }),
    { numRuns: 400 },
  );
});

/**
 * A peer that may send anything: frames or the typed error, and an end. Gives the number of frames taken.
 * `side` is who reads: the filter reads commands, the client replies.
 */
function serve(stream: Uint8Array, sizes: readonly number[], side: "filter" | "client"): number {
  const reader = new FrameReader(LIMIT);
  const macros = new MacroStore();
  let state: number = State.START;
  let taken = 0;
  try {
    for (const piece of pieces(stream, sizes)) {
      for (let at = 0; at < piece.length;) {
        at += pour(reader, piece.subarray(at));
        while (reader.next()) {
          taken++;
          assert(
            reader.start <= reader.end && reader.end <= reader.bytes.length,
            "the frame lies in its bytes",
          );
          if (side === "client") {
            parseReply(reader.code, reader.bytes, reader.start, reader.end);
            continue;
          }
          state = nextState(step(state, reader.code));
          assert(state > State.START && state <= State.CLOSED, `state ${state}`);
          if (reader.code === SMFIC.MACRO) macros.set(reader.bytes, reader.start, reader.end);
          else macros.enter(reader.code);
          parseCommand(reader.code, reader.bytes, reader.start, reader.end);
          macros.get("i");
        }
        assert(reader.capacity <= LIMIT + SLACK, `${reader.capacity}`);
        assert(reader.buffered < LIMIT + 4, "no more waits than one frame");
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    assert.match(error.message, /^Cannot \w/);
    assert(error.message.length < 400, error.message);
  }
  // Five bytes are the least that a frame takes, so this also says that nothing is given twice.
  assert(taken <= stream.length / 5);
  return taken;
}

test("random bytes never cause anything but the typed error", () => {
  const lengths = fc.constantFrom(0, 0, 0, 1, 2, 5, 16);
  const likely = fc.tuple(lengths, fc.constantFrom(...new TextEncoder().encode("OCHMRDTLNBEAQKU")), bytes)
    .map(([more, code, payload]) => {
      const good = frameBytes(code, payload);
      good[3] += more;
      return good;
    });
  fc.assert(
    fc.property(fc.array(fc.oneof(bytes, likely), { maxLength: 20 }), cuts, (parts, sizes) => {
      serve(concat(...parts), sizes, "filter");
      serve(concat(...parts), sizes, "client");
    }),
    { numRuns: 1500 },
  );
});

test("mutated sessions never cause anything but the typed error", () => {
  let most = 0;
  fc.assert(
    fc.property(fc.array(command, { maxLength: 20 }), damage, cuts, (commands, harm, sizes) => {
      const out = new FrameWriter();
      encodeCommand({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff }, out);
      for (const each of commands) {
        if (each.kind !== "negotiate" && each.kind !== "quit") encodeCommand(each, out);
      }
      most = Math.max(most, serve(spoil(out.view(), harm), sizes, "filter"));
    }),
    { numRuns: 1500 },
  );
  assert(most >= 5, `the longest run had ${most} frames: the damage is too great to test much`);
});

test("mutated answers never cause anything but the typed error", () => {
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 20 }), damage, cuts, (replies, harm, sizes) => {
      const out = new FrameWriter();
      for (const each of replies) encodeReply(each, out);
      serve(spoil(out.view(), harm), sizes, "client");
    }),
    { numRuns: 1000 },
  );
});

test("the largest frame byte by byte, and a million small ones at once, are read in one go each", () => {
  // Were either quadratic, this would not end within any patience.
  const large = frameBytes(0x42, new Uint8Array(1_048_575));
  const reader = new FrameReader();
  let taken = 0;
  for (let at = 0; at < large.length; at++) {
    pour(reader, large.subarray(at, at + 1));
    while (reader.next()) taken++;
  }
  assert.equal(taken, 1);
  const many = repeat(frameBytes(0x4e), 1_000_000);
  const other = new FrameReader();
  other.push(many);
  while (other.next()) taken++;
  assert.equal(taken, 1_000_001);
});

test("a long queue of small frames, one taken for each that arrives, is not moved each time", () => {
  const small = frameBytes(0x4e);
  const reader = new FrameReader();
  reader.push(repeat(small, 20_000));
  let moves = 0;
  for (let i = 0, last = 0; i < 60_000; i++) {
    assert(reader.next());
    if (reader.start <= last) moves++;
    last = reader.start;
    reader.push(small);
  }
  assert(moves < 10, `moved ${moves} times`);
  assert.equal(drain(reader).length, 20_000);
});

test("a reader that rests between any two pushes gives the same frames, and keeps no buffer", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(255), fc.nat(40_000)), { maxLength: 12 }),
      fc.nat(70_000),
      (all, cut) => {
        const whole = concat(
          ...all.map(([code, length]) => frameBytes(code, new Uint8Array(length).fill(code))),
        );
        const readers = [new FrameReader(), new FrameReader()];
        const seen: string[][] = [[], []];
        for (let at = 0; at < whole.length; at += cut + 1) {
          for (const [i, reader] of readers.entries()) {
            reader.push(whole.subarray(at, at + cut + 1));
            while (reader.next()) {
              const payload = reader.bytes.subarray(reader.start, reader.end);
              assert(payload.every((byte) => byte === reader.code));
              seen[i].push(`${reader.code} ${payload.length}`);
            }
            reader.rest();
            if (reader.buffered === 0) assert(reader.capacity < 20_000);
          }
        }
        const wanted = all.map(([code, length]) => `${code} ${length}`);
        assert.deepEqual(seen, [wanted, wanted]);
      },
    ),
  );
});
