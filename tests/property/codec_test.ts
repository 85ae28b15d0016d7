// Encoder and decoder are inverse, for all commands and replies, whatever bytes their texts hold.
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeCommand,
  encodeReply,
  FrameWriter,
  MacroStore,
  parseCommand,
  parseReply,
  ProtocolError,
  SMFIC,
} from "../../src/protocol/mod.ts";
import { bytes, command, reply } from "./arbitraries.ts";
import { concat, type Frame, framesOf, toHex } from "./wire.ts";

const RUNS = { numRuns: 1000 };

function framesOfAll<T>(
  values: readonly T[],
  encode: (value: T, out: FrameWriter) => void,
): readonly Frame[] {
  const out = new FrameWriter();
  for (const value of values) encode(value, out);
  const frames = framesOf(out.view());
  assert.equal(frames.length, values.length);
  return frames;
}

function isInverse<T>(
  values: readonly T[],
  encode: (value: T, out: FrameWriter) => void,
  parse: (code: number, bytes: Uint8Array, start: number, end: number) => T,
): void {
  for (const [i, { code, payload }] of framesOfAll(values, encode).entries()) {
    // Bytes beside the frame must not be looked at.
    const around = concat(Uint8Array.of(1, 2, 3), payload, Uint8Array.of(0, 1, 0));
    const parsed = parse(code, around, 3, 3 + payload.length);
    assert.deepEqual(parsed, values[i]);
    const again = new FrameWriter();
    encode(parsed, again);
    assert.equal(toHex(again.view().subarray(5)), toHex(payload));
  }
}

test("commands: decoding gives what was encoded, and encoding the same bytes", () => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 1, maxLength: 6 }), (commands) => {
      isInverse(commands, encodeCommand, parseCommand);
    }),
    RUNS,
  );
});

test("replies: decoding gives what was encoded, and encoding the same bytes", () => {
  fc.assert(
    fc.property(fc.array(reply, { minLength: 1, maxLength: 6 }), (replies) => {
      isInverse(replies, encodeReply, parseReply);
    }),
    RUNS,
  );
});

/** The value, or undefined for bytes that break the protocol; any other error is a fault of ours. */
function parsedOr<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    assert.match(error.message, /^Cannot \w/);
    return undefined;
  }
}

const codeOfText = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(...new TextEncoder().encode("ABCDEHKLMNOQRTUO+-24abcdefhimpqrsty")),
);
// Mostly NULs and small numbers: that is where fields begin and end.
const payload = fc.oneof(
  bytes,
  fc.array(fc.constantFrom(0, 0, 1, 4, 0x34, 0x36, 0x4c, 0x55, 0x41, 0xff), { maxLength: 30 })
    .map((list) => Uint8Array.from(list)),
);

test("any payload of any command is either refused or says something that can be sent again", () => {
  fc.assert(
    fc.property(codeOfText, payload, (code, body) => {
      const parsed = parsedOr(() => parseCommand(code, body, 0, body.length));
      if (parsed === undefined) return;
      const [frame] = framesOfAll([parsed], encodeCommand);
      assert.deepEqual(parseCommand(frame.code, frame.payload, 0, frame.payload.length), parsed);
    }),
    { numRuns: 5000 },
  );
});

test("any payload of any reply is either refused or says something that can be sent again", () => {
  fc.assert(
    fc.property(codeOfText, payload, (code, body) => {
      const parsed = parsedOr(() => parseReply(code, body, 0, body.length));
      if (parsed === undefined) return;
      const [frame] = framesOfAll([parsed], encodeReply);
      assert.deepEqual(parseReply(frame.code, frame.payload, 0, frame.payload.length), parsed);
      assert.equal(toHex(frame.payload), toHex(body));
    }),
    { numRuns: 5000 },
  );
});

const macroFrame = fc.tuple(
  fc.constantFrom(...new TextEncoder().encode("CHMRTLNBEUAX")),
  fc.array(fc.constantFrom("i", "{i}", "x", "", "{mail_addr}", "\u00e9", "__proto__"), { maxLength: 9 }),
  fc.boolean(),
);

test("macros: whatever frames come, values are those of the latest stage that has one, and reading never throws", () => {
  const encoder = new TextEncoder();
  const ORDER = "CHMRTNEU";
  const stageOf = (code: number) =>
    ORDER.indexOf(String.fromCharCode(code).replace("L", "N").replace("B", "E"));
  fc.assert(
    fc.property(fc.array(macroFrame, { maxLength: 12 }), (frames) => {
      const store = new MacroStore();
      const model = new Map<number, Map<string, string>>();
      for (const [code, strings, closed] of frames) {
        const body = encoder.encode(
          String.fromCharCode(code) + strings.join("\0") + (closed && strings.length > 0 ? "\0" : ""),
        );
        const stage = stageOf(code);
        const taken = parsedOr(() => {
          store.set(body, 0, body.length);
          return true;
        });
        if (stage < 0) {
          assert.equal(taken, true);
          continue;
        }
        if (stage <= 3) { for (const later of [...model.keys()]) if (later > stage) model.delete(later); }
        model.delete(stage);
        const command = parsedOr(() => parseCommand(SMFIC.MACRO, body, 0, body.length));
        assert.equal(taken === undefined, command === undefined, "store and parser refuse the same frames");
        if (command?.kind !== "macros") continue;
        const bare = (name: Uint8Array) => new TextDecoder().decode(name).replace(/^\{(.+)\}$/, "$1");
        model.set(
          stage,
          new Map(command.pairs.map(([name, value]) => [bare(name), new TextDecoder().decode(value)])),
        );
      }
      for (const name of ["i", "x", "", "mail_addr", "\u00e9", "__proto__", "none"]) {
        const stages = [...model.keys()].sort((a, b) => b - a);
        const expected = stages.map((stage) => model.get(stage)?.get(name)).find((value) =>
          value !== undefined
        );
        assert.equal(store.get(name), expected);
        assert.equal(store.get(`{${name}}`), name === "" ? undefined : expected);
      }
    }),
    RUNS,
  );
});
