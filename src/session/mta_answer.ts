/**
 * What Postfix and Sendmail make of a final reply at each stage (milter-protocol, 4.2 to 4.5).
 *
 * @module
 */
import { type Agreement, letter, ProtocolError, type Reply, SMFIC, SMFIP } from "../protocol/mod.ts";
import { readReplyText } from "./mta_checks.ts";
import type { MtaDialect } from "./mta_dialect.ts";

/** What a verdict ends. */
export type Ends = "nothing" | "command" | "mail" | "connection";

/** A final reply in its place. */
export interface Meaning {
  readonly verdict: "continue" | "accept" | "reject" | "tempfail" | "discard" | "skip";
  readonly ends: Ends;
  /** The reply for the SMTP client, if the filter gave one. */
  readonly text: string | undefined;
  /** SMFIC_ bytes that are no longer sent for this mail. */
  readonly skips: readonly number[];
  readonly warnings: readonly string[];
}

const { CONNECT, HELO, RCPT, DATA, UNKNOWN, HEADER, EOH, BODY, BODYEOB } = SMFIC;

/**
 * What the MTA makes of a final reply to the command of byte `code`.
 *
 * @throws {ProtocolError} `wrong-stage` for a reply that the MTA does not take there, `bad-value` for a bad reply text.
 */
export function meaningOf(reply: Reply, code: number, dialect: MtaDialect, agreement: Agreement): Meaning {
  switch (reply.kind) {
    case "continue":
      return meaning("continue", "nothing");
    case "accept":
      return accepted(code);
    case "reject":
    case "tempfail":
      return meaning(reply.kind, refusalEnds(code));
    case "replyCode": {
      const { code: number, text, warnings } = readReplyText(reply.text);
      // With 421 the MTA closes the SMTP connection.
      const ends = number === 421 ? "connection" : refusalEnds(code);
      return { ...meaning(number >= 500 ? "reject" : "tempfail", ends), text, warnings };
    }
    case "discard":
      return discarded(code, dialect);
    case "skip":
      return skipped(code, dialect, agreement);
    case "shutdown":
      if (dialect === "postfix" && code !== BODYEOB && code !== HEADER && code !== EOH && code !== BODY) {
        const warning =
          "The filter sends SMFIR_SHUTDOWN, which loses mail with Postfix at later stages: use 421";
        return { ...meaning("tempfail", "connection"), warnings: [warning] };
      }
      break;
  }
  throw new ProtocolError(
    "wrong-stage",
    `Cannot take reply "${reply.kind}" to command ${letter(code)}: ${
      dialect === "postfix" ? "Postfix" : "Sendmail"
    } does not know it there`,
  );
}

function meaning(verdict: Meaning["verdict"], ends: Ends): Meaning {
  return { verdict, ends, text: undefined, skips: [], warnings: [] };
}

function refusalEnds(code: number): Ends {
  if (code === CONNECT || code === HELO) return "connection";
  return code === RCPT || code === DATA || code === UNKNOWN ? "command" : "mail";
}

function accepted(code: number): Meaning {
  if (code === CONNECT || code === HELO) return meaning("accept", "connection");
  if (code !== UNKNOWN) return meaning("accept", "mail");
  const warning = "The filter accepts an unknown command: Postfix's smtpd dies of that at the next MAIL";
  return { ...meaning("accept", "mail"), warnings: [warning] };
}

function discarded(code: number, dialect: MtaDialect): Meaning {
  if (code === CONNECT && dialect === "sendmail") {
    const warning = "The filter discards at connect: Sendmail takes that for accept";
    return { ...meaning("accept", "connection"), warnings: [warning] };
  }
  if (code === CONNECT || code === HELO || code === UNKNOWN) {
    const warning = `The filter discards at command ${letter(code)}: the MTA ignores that`;
    return { ...meaning("continue", "nothing"), warnings: [warning] };
  }
  return meaning("discard", "mail");
}

function skipped(code: number, dialect: MtaDialect, agreement: Agreement): Meaning {
  const warnings = (agreement.protocol & SMFIP.SKIP) === 0
    ? ["The filter sends SMFIR_SKIP and did not negotiate SMFIP_SKIP"]
    : [];
  if (code === BODY) return { ...meaning("skip", "nothing"), skips: [BODY], warnings };
  const name = dialect === "postfix" ? "Postfix" : "Sendmail";
  const misplaced = (verdict: Meaning["verdict"], ends: Ends, skips: readonly number[], effect: string) => ({
    ...meaning(verdict, ends),
    skips,
    warnings: [...warnings, `The filter sends SMFIR_SKIP to command ${letter(code)}: ${name} ${effect}`],
  });
  if (dialect === "postfix") {
    if (code === HEADER) return misplaced("skip", "nothing", [HEADER], "then sends no more fields");
    if (code === RCPT) return misplaced("skip", "nothing", [RCPT], "then sends no more recipients");
    return misplaced("continue", "nothing", [], "takes it for continue");
  }
  if (code === HEADER || code === EOH) {
    return misplaced("skip", "nothing", [BODY], "then leaves the body out");
  }
  if (code === BODYEOB) {
    throw new ProtocolError(
      "wrong-stage",
      "Cannot take reply 's' (skip) to command 'E': Sendmail does not know it there",
    );
  }
  return misplaced("accept", "connection", [], "drops the filter for the whole connection");
}
