// The session table under random walks, held against what a mail is.
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Effect, nextState, ProtocolError, SMFIC, State, stateName, step } from "../../src/protocol/mod.ts";

const KNOWN = new Set<number>(Object.values(State));
const codes = fc.array(fc.constantFrom(...Object.values(SMFIC).filter((code) => code !== SMFIC.QUIT)), {
  minLength: 1,
  maxLength: 60,
});

/** Takes a step, or gives undefined where it is refused; then the session is over. */
function take(state: number, code: number): number | undefined {
  try {
    return step(state, code);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    assert.equal(error.code, "wrong-stage");
    assert(error.message.includes(`"${stateName(state)}"`), error.message);
    return undefined;
  }
}

test("random commands never leave the known states, and mails open and end in turn", () => {
  let longest = 0;
  fc.assert(
    fc.property(codes, fc.array(fc.nat(), { maxLength: 10 }), (list, verdicts) => {
      let state: number = nextState(step(State.START, SMFIC.OPTNEG));
      let open = false;
      let steps = 0;
      for (const [i, code] of list.entries()) {
        const cell = take(state, code);
        if (cell === undefined) break;
        steps++;
        const has = (effect: number) => (cell & effect) !== 0;
        if (has(Effect.ABORT)) {
          assert(open, "only an open mail is aborted");
          open = false;
        }
        if (has(Effect.OPEN)) {
          assert(!open, "no mail opens inside another");
          open = true;
        }
        if (has(Effect.FINISH)) {
          assert(open, "only an open mail is finished");
          assert.equal(code, SMFIC.BODYEOB);
          open = false;
        }
        if (has(Effect.IGNORE)) assert.equal(state, State.DECIDED);
        assert(!(has(Effect.ABORT) && has(Effect.FINISH)), "a mail has one end");
        state = nextState(cell);
        assert(KNOWN.has(state), `state ${state}`);
        assert.equal(
          open,
          [State.ENVELOPE, State.HEADER, State.BODY].includes(state as never),
          stateName(state),
        );
        // Now and then the filter gives a verdict in mid-mail.
        if (open && verdicts.some((verdict) => verdict % 60 === i)) {
          state = State.DECIDED;
          open = false;
        }
      }
      longest = Math.max(longest, steps);
    }),
    { numRuns: 3000 },
  );
  assert(longest >= 10, `the longest walk had ${longest} steps`);
});

test("from every state a session can be ended, aborted and begun anew", () => {
  for (const state of [State.IDLE, State.ENVELOPE, State.HEADER, State.BODY, State.DECIDED]) {
    assert.equal(nextState(step(state, SMFIC.QUIT)), State.CLOSED);
    assert.equal(nextState(step(state, SMFIC.ABORT)), State.IDLE);
    assert.equal(nextState(step(state, SMFIC.QUIT_NC)), State.IDLE);
    assert.equal(nextState(step(state, SMFIC.CONNECT)), State.IDLE);
    assert.equal(nextState(step(state, SMFIC.MAIL)), State.ENVELOPE);
  }
});

test("a step by any numbers is a known state or the typed error", () => {
  fc.assert(
    fc.property(fc.constantFrom(...KNOWN), fc.integer({ min: 0, max: 255 }), (state, code) => {
      try {
        assert(KNOWN.has(nextState(step(state, code))));
      } catch (error) {
        assert(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
