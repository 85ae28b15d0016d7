/**
 * Verdicts: what a hook decides about the connection, the recipient or the mail.
 *
 * Each is a frozen value that is checked when it is made, so a reply that would confuse an SMTP client never leaves the filter.
 *
 * @module
 */

/** Go on; the next command is sent to the filter (SMFIR_CONTINUE). */
export interface Continue {
  readonly kind: "continue";
}

/** The filter wants no more of this mail, or of this connection when given at connect or helo (SMFIR_ACCEPT). */
export interface Accept {
  readonly kind: "accept";
}

/** Refuse for good: a 5xx answer (SMFIR_REJECT, or SMFIR_REPLYCODE when it has a reply of its own). */
export interface Reject {
  readonly kind: "reject";
  readonly reply?: SmtpReply;
}

/** Refuse for now: a 4xx answer (SMFIR_TEMPFAIL, or SMFIR_REPLYCODE when it has a reply of its own). */
export interface Tempfail {
  readonly kind: "tempfail";
  readonly reply?: SmtpReply;
}

/** Tell the client that all is well and throw the mail away (SMFIR_DISCARD). */
export interface Discard {
  readonly kind: "discard";
}

/** Enough of the body was seen: go to the end of the message (SMFIR_SKIP). */
export interface Skip {
  readonly kind: "skip";
}

/** Any verdict. Which of them a hook may return is said by the hook's type. */
export type Verdict = Continue | Accept | Reject | Tempfail | Discard | Skip;

/** An SMTP reply of the filter's own (RFC 5321 section 4.2, RFC 3463). */
export interface SmtpReply {
  /** Reply code: 500 to 599 for a reject, 400 to 499 for a tempfail. 421 also closes the SMTP connection. */
  readonly code: number;
  /** Enhanced status code; its class is that of the reply code. */
  readonly enhanced: string;
  /** Text, one entry a line, without code and line end. */
  readonly lines: readonly string[];
}

/** The longest line of a reply, code and enhanced code included, in bytes (libmilter's limit). */
export const MAX_REPLY_LINE = 980;
/** The most lines of a reply (libmilter's limit). */
export const MAX_REPLY_LINES = 32;

const CONTINUE: Continue = Object.freeze({ kind: "continue" });
const ACCEPT: Accept = Object.freeze({ kind: "accept" });
const REJECT: Reject = Object.freeze({ kind: "reject" });
const TEMPFAIL: Tempfail = Object.freeze({ kind: "tempfail" });
const DISCARD: Discard = Object.freeze({ kind: "discard" });
const SKIP: Skip = Object.freeze({ kind: "skip" });

/** {@linkcode Continue}: go on. Returning nothing from a hook means the same. */
export function proceed(): Continue {
  return CONTINUE;
}

/** {@linkcode Accept}: no more of this mail (at connect and helo: of this connection). */
export function accept(): Accept {
  return ACCEPT;
}

/** {@linkcode Discard}: answer 250, deliver nothing. */
export function discard(): Discard {
  return DISCARD;
}

/** {@linkcode Skip}: no more body chunks, please. */
export function skip(): Skip {
  return SKIP;
}

/**
 * {@linkcode Reject} with the MTA's own text, or with yours.
 *
 * @param enhanced Enhanced status code (RFC 3463), class 5, for example `"5.7.1"`.
 * @param text One line, or several. Printable ASCII; a `%` needs no care.
 * @param code Reply code, 500 to 599; 550 if left out.
 * @throws {RangeError} if code, enhanced code, length or number of lines are out of bounds.
 */
export function reject(enhanced?: string, text?: string | readonly string[], code = 550): Reject {
  if (enhanced === undefined) return REJECT;
  return Object.freeze({ kind: "reject", reply: checkReply(5, code, enhanced, text) });
}

/**
 * {@linkcode Tempfail} with the MTA's own text, or with yours.
 *
 * @param enhanced Enhanced status code (RFC 3463), class 4, for example `"4.7.1"`.
 * @param text One line, or several. Printable ASCII; a `%` needs no care.
 * @param code Reply code, 400 to 499; 451 if left out. 421 makes the MTA close the SMTP connection.
 * @throws {RangeError} if code, enhanced code, length or number of lines are out of bounds.
 */
export function tempfail(enhanced?: string, text?: string | readonly string[], code = 451): Tempfail {
  if (enhanced === undefined) return TEMPFAIL;
  return Object.freeze({ kind: "tempfail", reply: checkReply(4, code, enhanced, text) });
}

/**
 * Checks a reply and gives it back frozen.
 *
 * @param replyClass 5 for a reject, 4 for a tempfail.
 * @throws {RangeError} naming the value and the rule it breaks.
 */
export function checkReply(
  replyClass: 4 | 5,
  code: number,
  enhanced: string,
  text: string | readonly string[] = replyClass === 5 ? "Command rejected" : "Please try again later",
): SmtpReply {
  if (!Number.isInteger(code) || Math.floor(code / 100) !== replyClass) {
    throw new RangeError(
      `Cannot make the reply: code ${code} is not in ${replyClass}00 to ${replyClass}99; ` +
        (replyClass === 5 ? "use tempfail() for 4xx codes" : "use reject() for 5xx codes"),
    );
  }
  const parts = /^([245])\.(\d{1,3})\.(\d{1,3})$/.exec(String(enhanced));
  if (parts === null || Number(parts[1]) !== replyClass) {
    throw new RangeError(
      `Cannot make the reply: enhanced status code "${enhanced}" is not of the form ${replyClass}.x.y (RFC 3463)`,
    );
  }
  const lines = Object.freeze(typeof text === "string" ? [text] : [...text]);
  if (lines.length === 0 || lines.length > MAX_REPLY_LINES) {
    throw new RangeError(`Cannot make the reply: ${lines.length} lines, allowed are 1 to ${MAX_REPLY_LINES}`);
  }
  const room = MAX_REPLY_LINE - `${code} ${enhanced} `.length;
  for (const line of lines) {
    if (typeof line !== "string" || !/^[\t\x20-\x7e]*$/.test(line)) {
      throw new RangeError(
        `Cannot make the reply: line ${JSON.stringify(line)} has a control or non-ASCII character; ` +
          "only printable ASCII is allowed in an SMTP reply (RFC 5321 section 4.2), one array entry a line",
      );
    }
    // A percent sign is doubled on the wire, so it counts twice.
    if (line.length + (line.split("%").length - 1) > room) {
      throw new RangeError(
        `Cannot make the reply: a line of ${line.length} characters starting ${
          JSON.stringify(line.slice(0, 40))
        } ` +
          `is over the limit of ${room}`,
      );
    }
  }
  return Object.freeze({ code, enhanced, lines });
}
