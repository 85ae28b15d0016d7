// Rings: what is written comes out, in order and once; a hostile other side gets a RingFault and nothing else.
import fc from "fast-check";
import assert from "node:assert/strict";
import { RingFault, ringMemory, RingReader, RingWriter } from "./ring.ts";

const CAPACITY = 4096;
/** Bytes in front of the data: the control words (ring.ts). */
const CONTROL = 128;
/** Index of the two positions among the control words. */
const WRITE = 0;
const READ = 16;
const HEAD = 12;

interface Entry {
  readonly kind: number;
  readonly session: number;
  readonly payload: readonly number[];
}

function drain(reader: RingReader): Entry[] {
  const entries: Entry[] = [];
  reader.drain((kind, session, payload) => entries.push({ kind, session, payload: [...payload] }));
  return entries;
}

function pair(): { memory: SharedArrayBuffer; writer: RingWriter; reader: RingReader; words: Int32Array } {
  const memory = ringMemory(CAPACITY);
  return {
    memory,
    writer: new RingWriter(memory),
    reader: new RingReader(memory),
    words: new Int32Array(memory, 0, CONTROL / 4),
  };
}

const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff),
);
const entry: fc.Arbitrary<Entry> = fc.record({
  kind: word,
  session: word,
  payload: fc.oneof(
    { weight: 9, arbitrary: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 60 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(new Array<number>(1024).fill(7), new Array<number>(1021).fill(9)),
    },
  ),
}, { noNullPrototype: true });

Deno.test("records become visible with flush, in order, with kind, session and payload", () => {
  const { writer, reader } = pair();
  assert.equal(writer.write(1, 2, Uint8Array.of(3, 4, 5)), true);
  assert.equal(writer.write(0xffffffff, 0, new Uint8Array(0)), true);
  assert.deepEqual(drain(reader), []);
  writer.flush();
  assert.deepEqual(drain(reader), [{ kind: 1, session: 2, payload: [3, 4, 5] }, {
    kind: 0xffffffff,
    session: 0,
    payload: [],
  }]);
  assert.deepEqual(drain(reader), []);
});

Deno.test("a full ring takes no record until the reader has taken one, and a record over a quarter never", () => {
  const { writer, reader } = pair();
  const quarter = new Uint8Array(writer.largest);
  assert.throws(() => writer.write(1, 1, new Uint8Array(writer.largest + 1)), RangeError);
  for (let i = 0; i < 3; i++) assert.equal(writer.write(i, 1, quarter), true);
  assert.equal(writer.write(3, 1, quarter), false);
  // What is left is exactly taken up by a last one.
  const rest = CAPACITY - 3 * (HEAD + quarter.length);
  assert.equal(writer.write(4, 1, new Uint8Array(rest - HEAD)), true);
  assert.equal(writer.write(5, 1, new Uint8Array(0)), false);
  writer.flush();
  assert.deepEqual(drain(reader).map(({ kind }) => kind), [0, 1, 2, 4]);
  assert.equal(writer.write(6, 1, quarter), true);
});

Deno.test("any series of writes, flushes and drains gives back what was written, across the ring's end", () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: entry },
      { weight: 1, arbitrary: fc.constant("flush" as const) },
      { weight: 2, arbitrary: fc.constant("drain" as const) },
    ),
    { minLength: 30, maxLength: 200, size: "max" },
  );
  let wrapped = 0;
  fc.assert(
    fc.property(steps, (list) => {
      const { writer, reader, words } = pair();
      const unseen: Entry[] = [];
      const visible: Entry[] = [];
      let refused = false;
      for (const step of list) {
        if (step === "flush") {
          writer.flush();
          visible.push(...unseen.splice(0));
        } else if (step === "drain") {
          assert.deepEqual(drain(reader), visible.splice(0));
          if (unseen.length === 0) refused = false;
        } else if (writer.write(step.kind, step.session, Uint8Array.from(step.payload))) {
          unseen.push(step);
        } else {
          const used = [...unseen, ...visible].reduce(
            (sum, { payload }) => sum + HEAD + ((payload.length + 3) & ~3),
            0,
          );
          assert(used + HEAD + step.payload.length > CAPACITY - 3, `refused with ${used} bytes in use`);
          refused = true;
        }
      }
      if (refused) wrapped++;
      writer.flush();
      assert.deepEqual(drain(reader), [...visible, ...unseen]);
      if ((words[WRITE] >>> 0) > CAPACITY) wrapped++;
    }),
    { numRuns: 300 },
  );
  assert(wrapped > 20, `only ${wrapped} runs came round or filled the ring`);
});

Deno.test("appended bytes share a record with those before: same kind, same session, still unseen", () => {
  const { writer, reader } = pair();
  const bytes = (...values: number[]) => Uint8Array.from(values);
  const append = (kind: number, session: number, ...values: number[]) =>
    assert.equal(writer.append(kind, session, bytes(...values)), true);
  append(1, 1, 1, 2, 3);
  append(1, 1, 4);
  append(1, 1, 5, 6, 7, 8, 9);
  append(1, 2, 10);
  append(2, 2, 11);
  assert.equal(writer.write(2, 2, bytes(12)), true);
  append(2, 2, 13);
  writer.flush();
  append(2, 2, 14);
  writer.flush();
  assert.deepEqual(drain(reader), [
    { kind: 1, session: 1, payload: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
    { kind: 1, session: 2, payload: [10] },
    { kind: 2, session: 2, payload: [11] },
    { kind: 2, session: 2, payload: [12, 13] },
    { kind: 2, session: 2, payload: [14] },
  ]);
});

Deno.test("an appended record is never over a quarter, and a full ring takes no more bytes", () => {
  const { writer, reader, words } = pair();
  const half = new Uint8Array(writer.largest / 2 + 1);
  assert.equal(writer.append(1, 1, half), true);
  assert.equal(writer.append(1, 1, half), true);
  writer.flush();
  assert.deepEqual(drain(reader).map(({ payload }) => payload.length), [half.length, half.length]);
  for (let i = 0; i < 3; i++) assert.equal(writer.write(2, i, new Uint8Array(writer.largest)), true);
  assert.equal(writer.append(3, 3, new Uint8Array(CAPACITY - 3 * (HEAD + writer.largest) - HEAD - 6)), true);
  // Four bytes are left, and two behind the last record that only fill it up.
  assert.equal(writer.append(3, 3, new Uint8Array(9)), false);
  assert.equal(writer.append(3, 3, new Uint8Array(6)), true);
  assert.equal(writer.append(3, 3, new Uint8Array(3)), false);
  words[READ] = -4;
  assert.throws(() => writer.append(3, 3, new Uint8Array(1)), RingFault);
});

Deno.test("whatever is appended or written comes out once and in order, across the ring's end", () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.boolean(), fc.nat(1), fc.nat(1), fc.nat({ max: 300 })) },
      { weight: 1, arbitrary: fc.constant("flush" as const) },
      { weight: 1, arbitrary: fc.constant("drain" as const) },
    ),
    { minLength: 50, maxLength: 200, size: "max" },
  );
  /** The bytes of each kind and session, in the order of first sight, runs of the same put together. */
  const streams = (entries: readonly Entry[]): string => {
    const runs: [string, number[]][] = [];
    for (const { kind, session, payload } of entries) {
      const key = `${kind} ${session}`;
      if (runs.at(-1)?.[0] === key) runs.at(-1)![1].push(...payload);
      else runs.push([key, [...payload]]);
    }
    return JSON.stringify(runs);
  };
  let merged = 0, wrapped = 0;
  fc.assert(
    fc.property(steps, (list) => {
      const { writer, reader, words } = pair();
      const sent: Entry[] = [], got: Entry[] = [];
      let next = 0;
      for (const step of list) {
        if (step === "flush") writer.flush();
        else if (step === "drain") got.push(...drain(reader));
        else {
          const [append, kind, session, length] = step;
          const payload = Array.from({ length }, () => next++ & 255);
          const done = append
            ? writer.append(kind, session, Uint8Array.from(payload))
            : writer.write(kind, session, Uint8Array.from(payload));
          if (done) sent.push({ kind, session, payload });
        }
      }
      writer.flush();
      got.push(...drain(reader));
      assert.equal(streams(got), streams(sent));
      if (got.length < sent.length) merged++;
      if ((words[WRITE] >>> 0) > CAPACITY) wrapped++;
    }),
    { numRuns: 300 },
  );
  assert(merged > 100 && wrapped > 100, `${merged} runs had merged records, ${wrapped} came round`);
});

Deno.test("positions wrap at 2^32 and nothing is lost there", () => {
  const { memory, words } = pair();
  const start = 0xffffff00;
  words[WRITE] = words[READ] = start | 0;
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  for (let i = 0; i < 100; i++) {
    assert.equal(writer.write(i, i, Uint8Array.of(i, i + 1)), true);
    writer.flush();
    assert.deepEqual(drain(reader), [{ kind: i, session: i, payload: [i, i + 1] }]);
  }
  assert((words[WRITE] >>> 0) < start, "the position has wrapped");
});

Deno.test("a reader that meets an impossible index or length says so", () => {
  const rows: [string, (words: Int32Array, view: DataView) => void, RegExp][] = [
    ["an index beyond the ring", (words) => words[WRITE] = CAPACITY + 4, /outside the ring/],
    ["an index that goes back", (words) => words[WRITE] = -4, /outside the ring/],
    ["half a head", (words) => words[WRITE] = 8, /cut off/],
    ["an odd index", (words) => words[WRITE] = HEAD + 2, /cut off|longer/],
    ["a length over a quarter", (_, view) => view.setUint32(0, CAPACITY / 4 + 1, true), /longer than/],
    ["a length over what was written", (_, view) => view.setUint32(0, 900, true), /longer than/],
    ["a negative length", (_, view) => view.setUint32(0, 0xffffffff, true), /longer than/],
    ["a length that overflows when padded", (_, view) => view.setUint32(0, 0xfffffffd, true), /longer than/],
  ];
  for (const [name, harm, words] of rows) {
    const ring = pair();
    assert.equal(ring.writer.write(1, 1, Uint8Array.of(1)), true);
    ring.writer.flush();
    harm(ring.words, new DataView(ring.memory, CONTROL));
    let taken = 0;
    assert.throws(
      () => ring.reader.drain(() => void taken++),
      (error) => error instanceof RingFault && words.test(error.message),
      name,
    );
    assert(taken <= 1, name);
  }
});

Deno.test("a writer that meets an impossible reader's index says so", () => {
  for (const index of [4, CAPACITY, 0x7fffffff, -CAPACITY - 4]) {
    const ring = pair();
    ring.words[READ] = index;
    assert.throws(() => ring.writer.write(1, 1, new Uint8Array(4)), RingFault, `index ${index}`);
  }
});

Deno.test("whatever the other side does to the memory, drain and write end, stay inside, and throw RingFault at most", () => {
  const harm = fc.array(
    fc.oneof(
      { weight: 1, arbitrary: fc.record({ at: fc.constantFrom(WRITE * 4, READ * 4), value: word }) },
      {
        weight: 2,
        arbitrary: fc.record({
          at: fc.constantFrom(WRITE * 4, READ * 4),
          value: fc.integer({ min: 0, max: 2 * CAPACITY }),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          at: fc.nat({ max: (CONTROL + CAPACITY) / 4 - 1 }).map((n) => 4 * n),
          value: word,
        }),
      },
    ),
    { maxLength: 12 },
  );
  const outcomes = { fine: 0, fault: 0 };
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 20 }), fc.array(harm, { maxLength: 6 }), (entries, harms) => {
      const { memory, writer, reader } = pair();
      const view = new DataView(memory);
      for (const [i, { kind, session, payload }] of entries.entries()) {
        try {
          writer.write(kind, session, Uint8Array.from(payload));
          writer.flush();
          for (const { at, value } of harms[i] ?? harms[0] ?? []) view.setUint32(at, value, true);
          let records = 0;
          reader.drain((_kind, _session, bytes) => {
            records++;
            // A copy of its own: nobody can change it while it is looked at.
            assert(!(bytes.buffer instanceof SharedArrayBuffer));
            assert(bytes.length <= CAPACITY / 4);
            // The other side may go on writing while the records are handled.
            for (const { at, value } of harms[records] ?? []) view.setUint32(at, value, true);
          });
          assert(records <= CAPACITY / HEAD, `${records} records out of one ring`);
          outcomes.fine++;
        } catch (error) {
          if (!(error instanceof RingFault)) throw error;
          outcomes.fault++;
        }
      }
    }),
    { numRuns: 3000 },
  );
  assert(outcomes.fine > 100 && outcomes.fault > 100, JSON.stringify(outcomes));
});

Deno.test("ring memory is a power of two, from 4096 bytes on", () => {
  for (const capacity of [0, 1, 2048, 5000, 4096.5, NaN, -4096]) {
    assert.throws(() => ringMemory(capacity), RangeError, String(capacity));
  }
  assert.equal(ringMemory(8192).byteLength, CONTROL + 8192);
});

Deno.test("two threads: thousands of records of all sizes there and back, through rings smaller than the data", async () => {
  const there = ringMemory(CAPACITY);
  const back = ringMemory(CAPACITY);
  const writer = new RingWriter(there);
  const reader = new RingReader(back);
  const partner = new Worker(new URL("../../../tests/redteam/ring_partner.ts", import.meta.url), {
    type: "module",
  });
  const ended = new Promise((resolve) => partner.onmessage = resolve);
  partner.postMessage([there, back]);
  const COUNT = 5000;
  const length = (i: number) => (i * 37) % 1025;
  const send = async (): Promise<void> => {
    for (let i = 0; i < COUNT; i++) {
      const payload = new Uint8Array(length(i)).fill(i & 255);
      while (!writer.write(i & 63, i, payload)) {
        writer.flush();
        await writer.room();
      }
      if (i % 7 === 0) writer.flush();
    }
    writer.flush();
  };
  const receive = async (): Promise<void> => {
    let next = 0;
    for (;;) {
      reader.drain((kind, session, payload) => {
        assert.equal(session, next);
        assert.equal(kind, next & 63);
        assert.equal(payload.length, length(next));
        assert(payload.every((byte) => byte === (next & 255)), `record ${next}`);
        next++;
      });
      if (next === COUNT) return;
      await reader.arrived();
    }
  };
  await Promise.all([send(), receive()]);
  assert.equal(writer.write(99, 0, new Uint8Array(0)), true);
  writer.flush();
  await ended;
  partner.terminate();
});
