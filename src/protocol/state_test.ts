import assert from "node:assert/strict";
import { test } from "node:test";
import { SMFIC } from "./codes.ts";
import { Effect, nextState, State, stateName, step } from "./state.ts";

/**
 * Every cell of the session, written down a second time: rows are commands, columns the states start, idle, envelope,
 * header, body, decided, closed. `.` is refused; a letter is the next state by its initial, `X` for closed;
 * `+` opens a mail, `!` aborts the open one, `*` finishes it, `~` is answered and nothing else.
 */
const CELLS: Readonly<Record<keyof typeof SMFIC, string>> = {
  //         start  idle  envelope  header  body  decided  closed
  OPTNEG: "  I      .     .         .       .     .        .",
  MACRO: "   .      I     E         H       B     D        .",
  CONNECT: " .      I     I!        I!      I!    I        .",
  HELO: "    .      I     I!        I!      I!    I        .",
  MAIL: "    .      E+    E!+       E!+     E!+   E+       .",
  RCPT: "    .      E+    E         .       .     D~       .",
  DATA: "    .      E+    E         .       .     D~       .",
  HEADER: "  .      H+    H         H       .     D~       .",
  EOH: "     .      B+    B         B       .     D~       .",
  BODY: "    .      B+    B         B       B     D~       .",
  BODYEOB: " .      I+*   I*        I*      I*    I~       .",
  ABORT: "   .      I     I!        I!      I!    I        .",
  UNKNOWN: " .      I     E         H       B     D        .",
  QUIT: "    X      X     X!        X!      X!    X        .",
  QUIT_NC: " .      I     I!        I!      I!    I        .",
};

const STATES = [
  State.START,
  State.IDLE,
  State.ENVELOPE,
  State.HEADER,
  State.BODY,
  State.DECIDED,
  State.CLOSED,
] as const;
const INITIALS = "SIEHBDX";
const MARKS = { "+": Effect.OPEN, "!": Effect.ABORT, "*": Effect.FINISH, "~": Effect.IGNORE } as const;
const NEXT = 0x07;

function effectsOf(cell: string): number {
  return [...cell.slice(1)].reduce((effects, mark) => effects | MARKS[mark as keyof typeof MARKS], 0);
}

for (const [name, row] of Object.entries(CELLS)) {
  const code = SMFIC[name as keyof typeof SMFIC];
  const cells = row.trim().split(/\s+/);
  for (const [i, state] of STATES.entries()) {
    const cell = cells[i];
    test(`SMFIC_${name} at ${stateName(state)}: ${cell === "." ? "refused" : cell}`, () => {
      assert.equal(cells.length, STATES.length);
      if (cell === ".") {
        assert.throws(() => step(state, code), {
          name: "ProtocolError",
          code: "wrong-stage",
          message: new RegExp(
            `Cannot take command '${String.fromCharCode(code)}' at stage "${stateName(state)}"`,
          ),
        });
        return;
      }
      const taken = step(state, code);
      assert.equal(INITIALS[STATES.indexOf(nextState(taken) as typeof STATES[number])], cell[0]);
      assert.equal(taken & ~NEXT, effectsOf(cell));
    });
  }
}

test("bytes that are no command are refused as such in every state", () => {
  const known = new Set<number>(Object.values(SMFIC));
  for (const state of STATES) {
    for (let code = 0; code < 256; code++) {
      if (known.has(code)) continue;
      assert.throws(
        () => step(state, code),
        { name: "ProtocolError", code: "unknown-code" },
        `${state} ${code}`,
      );
    }
  }
});

test("the first command is told what a connection starts with", () => {
  assert.throws(() => step(State.START, SMFIC.CONNECT), {
    message: /a connection starts with 'O' \(SMFIC_OPTNEG\)/,
  });
});

/** Runs a string of command letters; the state at the end, and the mails opened, aborted and finished on the way. */
function run(letters: string): { state: string; opened: number; aborted: number; finished: number } {
  let state: number = State.START;
  const count = { opened: 0, aborted: 0, finished: 0 };
  for (const letter of letters) {
    const cell = step(state, letter.charCodeAt(0));
    state = nextState(cell);
    if ((cell & Effect.ABORT) !== 0) count.aborted++;
    if ((cell & Effect.OPEN) !== 0) count.opened++;
    if ((cell & Effect.FINISH) !== 0) count.finished++;
  }
  return { state: stateName(state), ...count };
}

const SESSIONS: readonly (readonly [name: string, letters: string, expected: ReturnType<typeof run>])[] = [
  ["Postfix, one mail", "ODCDHDMDRDTDLDLDNDBDEAAQ", { state: "closed", opened: 1, aborted: 0, finished: 1 }],
  ["Sendmail, one mail", "ODCDHDMDRRTLLNBDEQ", { state: "closed", opened: 1, aborted: 0, finished: 1 }],
  ["two mails, no abort between", "OCHMRTLNBEMRTLNBEQ", {
    state: "closed",
    opened: 2,
    aborted: 0,
    finished: 2,
  }],
  ["RSET in mid-envelope, Sendmail", "OCHMRAMRTLNBE", { state: "idle", opened: 2, aborted: 1, finished: 1 }],
  ["EHLO again, Sendmail: abort first", "OCHMRAHMRTLNBE", {
    state: "idle",
    opened: 2,
    aborted: 1,
    finished: 1,
  }],
  ["EHLO again, Postfix: helo first", "OCHMRHAMRTLNBE", {
    state: "idle",
    opened: 2,
    aborted: 1,
    finished: 1,
  }],
  ["a new MAIL without an abort", "OCHMRMRTLNBE", { state: "idle", opened: 2, aborted: 1, finished: 1 }],
  ["aborts where no mail is open", "OAACAHAAQ", { state: "closed", opened: 0, aborted: 0, finished: 0 }],
  ["client gone in mid-mail, Sendmail", "OCHMRTLQ", { state: "closed", opened: 1, aborted: 1, finished: 0 }],
  ["no header, no body", "OCHMRTNE", { state: "idle", opened: 1, aborted: 0, finished: 1 }],
  ["only the end is wanted", "OEEE", { state: "idle", opened: 3, aborted: 0, finished: 3 }],
  ["only headers are wanted", "OLLELE", { state: "idle", opened: 2, aborted: 0, finished: 2 }],
  ["only the body is wanted", "OBBEBE", { state: "idle", opened: 2, aborted: 0, finished: 2 }],
  ["after a refused DATA: more recipients", "OCHMRTRTLNBE", {
    state: "idle",
    opened: 1,
    aborted: 0,
    finished: 1,
  }],
  ["unknown commands anywhere", "OUCUHUMURUTE", { state: "idle", opened: 1, aborted: 0, finished: 1 }],
  ["a new connection on the socket", "OCHMRTLNBEKCHMRTKCQ", {
    state: "closed",
    opened: 2,
    aborted: 1,
    finished: 1,
  }],
  ["Stalwart at its rcpt stage", "OCHMRRQ", { state: "closed", opened: 1, aborted: 1, finished: 0 }],
];

for (const [name, letters, expected] of SESSIONS) {
  test(`session ${letters}: ${name}`, () => assert.deepEqual(run(letters), expected));
}

test("after the verdict the rest of the mail is answered and ignored, then a new mail begins", () => {
  let state: number = State.DECIDED;
  for (const letter of "DRTLLNBBE") {
    const cell = step(state, letter.charCodeAt(0));
    assert.equal((cell & Effect.IGNORE) !== 0, letter !== "D", letter);
    assert.equal(cell & (Effect.OPEN | Effect.ABORT | Effect.FINISH), 0, letter);
    state = nextState(cell);
  }
  assert.equal(state, State.IDLE);
});
