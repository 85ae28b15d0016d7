/**
 * The one table of the session: which command may come when, and what it does to connection and mail
 * (milter-protocol, 6.3). It satisfies Postfix, Sendmail and Stalwart and is stricter only where all three are.
 *
 * @module
 */
import { letter, SMFIC } from "./codes.ts";
import { ProtocolError } from "./errors.ts";

/** Where a session stands. */
export const State = Object.freeze({
  /** Nothing yet; only SMFIC_OPTNEG may come. */
  START: 0,
  /** Negotiated, no mail open. */
  IDLE: 1,
  /** A mail is open: MAIL, RCPT, DATA. */
  ENVELOPE: 2,
  HEADER: 3,
  BODY: 4,
  /** The filter has given its verdict on the mail; what still comes of it is answered and not looked at. */
  DECIDED: 5,
  CLOSED: 6,
});

/** What a step does besides moving on; bits. */
export const Effect = Object.freeze({
  /** A mail begins. */
  OPEN: 0x08,
  /** The open mail ends without a verdict; before OPEN, if both. */
  ABORT: 0x10,
  /** The mail is complete. */
  FINISH: 0x20,
  /** Answer with continue and do nothing else. */
  IGNORE: 0x40,
});

const NAMES = ["start", "idle", "envelope", "header", "body", "decided", "closed"] as const;

const { START, IDLE, ENVELOPE, HEADER, BODY, DECIDED, CLOSED } = State;
const { OPEN, ABORT, FINISH, IGNORE } = Effect;
const WRONG = 0xff;

type Row = readonly [
  start: number,
  idle: number,
  envelope: number,
  header: number,
  body: number,
  decided: number,
];

/** Columns: the state a command meets. Cells: the state it leads to, with its effects. Abort before mail is no error (Postfix). */
const TABLE: readonly (readonly [code: number, row: Row])[] = [
  //                  START   IDLE             ENVELOPE               HEADER                 BODY                   DECIDED
  [SMFIC.OPTNEG, [IDLE, WRONG, WRONG, WRONG, WRONG, WRONG]],
  [SMFIC.MACRO, [WRONG, IDLE, ENVELOPE, HEADER, BODY, DECIDED]],
  [SMFIC.CONNECT, [WRONG, IDLE, IDLE | ABORT, IDLE | ABORT, IDLE | ABORT, IDLE]],
  [SMFIC.HELO, [WRONG, IDLE, IDLE | ABORT, IDLE | ABORT, IDLE | ABORT, IDLE]],
  [SMFIC.MAIL, [
    WRONG,
    ENVELOPE | OPEN,
    ENVELOPE | ABORT | OPEN,
    ENVELOPE | ABORT | OPEN,
    ENVELOPE | ABORT | OPEN,
    ENVELOPE | OPEN,
  ]],
  // With NOMAIL and the like a mail begins at whatever comes first.
  [SMFIC.RCPT, [WRONG, ENVELOPE | OPEN, ENVELOPE, WRONG, WRONG, DECIDED | IGNORE]],
  [SMFIC.DATA, [WRONG, ENVELOPE | OPEN, ENVELOPE, WRONG, WRONG, DECIDED | IGNORE]],
  [SMFIC.HEADER, [WRONG, HEADER | OPEN, HEADER, HEADER, WRONG, DECIDED | IGNORE]],
  [SMFIC.EOH, [WRONG, BODY | OPEN, BODY, BODY, WRONG, DECIDED | IGNORE]],
  [SMFIC.BODY, [WRONG, BODY | OPEN, BODY, BODY, BODY, DECIDED | IGNORE]],
  [SMFIC.BODYEOB, [WRONG, IDLE | OPEN | FINISH, IDLE | FINISH, IDLE | FINISH, IDLE | FINISH, IDLE | IGNORE]],
  [SMFIC.ABORT, [WRONG, IDLE, IDLE | ABORT, IDLE | ABORT, IDLE | ABORT, IDLE]],
  [SMFIC.UNKNOWN, [WRONG, IDLE, ENVELOPE, HEADER, BODY, DECIDED]],
  [SMFIC.QUIT, [CLOSED, CLOSED, CLOSED | ABORT, CLOSED | ABORT, CLOSED | ABORT, CLOSED]],
  // A new SMTP connection follows on this socket; the options stay.
  [SMFIC.QUIT_NC, [WRONG, IDLE, IDLE | ABORT, IDLE | ABORT, IDLE | ABORT, IDLE]],
];

const UNKNOWN_CODE = 0xfe;
/** The table by number, `state << 8 | code`, so that a step is one look-up. */
const STEPS = new Uint8Array(8 << 8).fill(UNKNOWN_CODE);
for (const [code, row] of TABLE) {
  row.forEach((cell, state) => STEPS[state << 8 | code] = cell);
  STEPS[CLOSED << 8 | code] = WRONG;
}

/**
 * What a command does in a state: the next state in the low three bits, {@linkcode Effect} bits above them.
 *
 * @throws {ProtocolError} `unknown-code` or `wrong-stage`.
 */
export function step(state: number, code: number): number {
  const cell = STEPS[state << 8 | code];
  if (cell >= UNKNOWN_CODE) refuse(cell, state, code);
  return cell;
}

/** The state that a step leads to. */
export function nextState(cell: number): number {
  return cell & 0x07;
}

/** The name of a state, for messages. */
export function stateName(state: number): string {
  return NAMES[state];
}

function refuse(cell: number, state: number, code: number): never {
  if (cell === UNKNOWN_CODE) {
    throw new ProtocolError(
      "unknown-code",
      `Cannot take command ${letter(code)}: the milter protocol has none of that name`,
    );
  }
  throw new ProtocolError(
    "wrong-stage",
    `Cannot take command ${letter(code)} at stage "${stateName(state)}": ` +
      (state === START
        ? "a connection starts with 'O' (SMFIC_OPTNEG)"
        : "the protocol does not allow it there"),
  );
}
