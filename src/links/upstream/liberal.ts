/**
 * What to make of the replies of real milters where they are not what the strict check takes: as MTAs do, or safer.
 *
 * @module
 */
import {
  effectiveOffer,
  MIN_VERSION,
  type Options,
  ProtocolError,
  type Reply,
  SMFIC,
  SMFIP,
} from "../../protocol/mod.ts";
import { readReplyText } from "../../session/mta_checks.ts";

/** The answer to a negotiation. */
export type Negotiated = Extract<Reply, { kind: "negotiate" }>;

/** Told of what a milter does that it should not do. */
export type Warn = (message: string) => void;

/** Characters of a line of an SMTP reply; libmilter's own limit. */
const LINE_LIMIT = 980;
const CONTINUE: Reply = { kind: "continue" };
const encoder = new TextEncoder();

/**
 * A milter's answer as the MTA is to have it.
 *
 * What is over the offer is left out (rspamd answers the same to every MTA); its NO* and NR_* flags are then kept on
 * this side. MAIL is asked for in any case, and DATA with `answerData`: see `wantsOf`.
 *
 * @throws {ProtocolError} `bad-value` for version 1, or one over the offer. Version 0 acts like 2.
 */
export function answerFor(answer: Negotiated, raw: Options, answerData: boolean, warn: Warn): Negotiated {
  const offer = effectiveOffer(raw);
  const version = answer.version === 0 ? MIN_VERSION : answer.version;
  if (version < MIN_VERSION || version > offer.version) {
    throw new ProtocolError(
      "bad-value",
      `Cannot negotiate: the milter answers version ${answer.version} to an offer of ${raw.version}`,
    );
  }
  const actions = answer.actions & offer.actions;
  let protocol = answer.protocol & offer.protocol;
  if (actions !== answer.actions || protocol !== answer.protocol) {
    warn(
      `negotiates actions 0x${hex(answer.actions)} and protocol flags 0x${
        hex(answer.protocol)
      }, over an offer of ` +
        `0x${hex(raw.actions)} and 0x${hex(raw.protocol)}: the rest is left out`,
    );
  }
  if ((protocol & SMFIP.NOMAIL) !== 0) {
    protocol = protocol & ~SMFIP.NOMAIL | SMFIP.NR_MAIL & offer.protocol;
  }
  if (answerData) protocol &= ~(SMFIP.NODATA | SMFIP.NR_DATA);
  // Older MTAs insist on three words.
  const macros = offer.version >= 6 ? answer.macros : [];
  return { kind: "negotiate", version, actions, protocol: protocol >>> 0, macros };
}

/**
 * A reply to command `code` as it may be checked; undefined for one that says nothing.
 *
 * @param protocol The protocol flags that hold towards the MTA.
 * @throws {ProtocolError} `bad-value` for a reply text that no MTA takes.
 */
export function meant(reply: Reply, code: number, protocol: number, warn: Warn): Reply | undefined {
  const misplaced = (effect: string): void =>
    warn(`answers "${reply.kind}" to command '${String.fromCharCode(code)}', which ${effect}`);
  switch (reply.kind) {
    case "progress":
      return code === SMFIC.BODYEOB ? reply : undefined;
    case "discard":
      if (code !== SMFIC.CONNECT && code !== SMFIC.HELO && code !== SMFIC.UNKNOWN) return reply;
      misplaced("MTAs ignore");
      return CONTINUE;
    case "accept":
      if (code !== SMFIC.UNKNOWN) return reply;
      misplaced("Postfix does not survive");
      return CONTINUE;
    case "skip":
      if (code === SMFIC.BODY && (protocol & SMFIP.SKIP) !== 0) return reply;
      misplaced("is no body that may be skipped");
      return CONTINUE;
    case "replyCode":
      return safeText(reply, warn);
    default:
      return reply;
  }
}

/** A reply text without what some MTA would drop or choke on. */
function safeText(reply: Reply & { kind: "replyCode" }, warn: Warn): Reply {
  const { code, text, warnings } = readReplyText(reply.text);
  if (warnings.length === 0) return reply;
  for (const warning of warnings) warn(`sends a reply text that is put right: ${warning}`);
  const lines = text.split("\r\n").map((line) => {
    const words = line.slice(4);
    const enhanced = /^[0-9]\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)/.test(words) ? "" : `${String(code)[0]}.0.0 `;
    // A % that stands alone is meant as one.
    const safe = (line.slice(0, 4) + enhanced + words.replaceAll("%", "%%")).slice(0, LINE_LIMIT);
    return /(?<!%)(?:%%)*%$/.test(safe) ? safe.slice(0, -1) : safe;
  });
  return { kind: "replyCode", text: encoder.encode(lines.join("\r\n").toWellFormed()) };
}

function hex(flags: number): string {
  return (flags >>> 0).toString(16);
}
