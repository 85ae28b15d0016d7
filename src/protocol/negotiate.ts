/**
 * Option negotiation: what the MTA offers and the filter wants gives what both do (milter-protocol, section 2).
 *
 * @module
 */
import {
  DATA_SIZE,
  DATA_SIZE_1M,
  DATA_SIZE_256K,
  MAX_VERSION,
  MIN_VERSION,
  SMFIC,
  SMFIF,
  SMFIP,
} from "./codes.ts";
import { ProtocolError } from "./errors.ts";
import type { MacroList } from "./reply.ts";

/** The words of an SMFIC_OPTNEG. */
export interface Options {
  readonly version: number;
  readonly actions: number;
  readonly protocol: number;
}

/** What a filter would like. */
export interface Wants {
  /** SMFIF_* flags. */
  readonly actions: number;
  /** SMFIP_* flags: NO*, NR_*, SKIP, RCPT_REJ, HDR_LEADSPC. */
  readonly protocol: number;
  readonly macros: readonly MacroList[];
}

/** What holds for the connection from now on. */
export interface Agreement extends Options {
  readonly macros: readonly MacroList[];
  /** The most payload bytes of one body frame, either way. */
  readonly dataSize: number;
}

/** Flags that each version knows; an MTA of that version must not see others. */
function knownProtocol(version: number): number {
  if (version >= 6) return 0x1fffff | SMFIP.MDS_256K | SMFIP.MDS_1M;
  // NR_HDR is older than the version that made it official.
  if (version >= 4) return 0x3ff;
  if (version === 3) return 0x1ff;
  return 0xff;
}

/** The offer as it counts: Sendmail's library reads no actions, or no protocol flags, as those of version 1. */
export function effectiveOffer(offer: Options): Options {
  const version = Math.min(MAX_VERSION, offer.version);
  const actions = offer.actions === 0 ? 0x0f : offer.actions;
  const protocol = offer.protocol === 0 ? 0x3f : offer.protocol;
  // Postfix offers the actions of version 6 whatever its version; those it then honours, so the offer decides there.
  return { version, actions: actions & 0x1ff, protocol: protocol & knownProtocol(version) };
}

/**
 * The filter's answer: never more than was offered, so an edit that the MTA cannot do is absent from `actions`.
 *
 * @param frameLimit The longest frame the reader takes, in bytes: larger body frames are agreed to only if they fit.
 * @throws {ProtocolError} `bad-value` for a version below 2.
 */
export function agree(offered: Options, wants: Wants, frameLimit: number): Agreement {
  if (offered.version < MIN_VERSION) {
    throw new ProtocolError(
      "bad-value",
      `Cannot negotiate: the MTA offers version ${offered.version}, the oldest supported is ${MIN_VERSION}`,
    );
  }
  const offer = effectiveOffer(offered);
  // Only version 6 knows the macro lists behind the three words; older MTAs insist on 12 bytes.
  const actions = wants.actions & offer.actions & (offer.version >= 6 ? ~0 : ~SMFIF.SETSYMLIST);
  let protocol = wants.protocol & offer.protocol & ~(SMFIP.MDS_256K | SMFIP.MDS_1M);
  let dataSize = DATA_SIZE;
  if ((offer.protocol & SMFIP.MDS_1M) !== 0 && frameLimit > DATA_SIZE_1M) {
    protocol |= SMFIP.MDS_1M;
    dataSize = DATA_SIZE_1M;
  } else if ((offer.protocol & (SMFIP.MDS_256K | SMFIP.MDS_1M)) !== 0 && frameLimit > DATA_SIZE_256K) {
    protocol |= SMFIP.MDS_256K & offer.protocol;
    if ((protocol & SMFIP.MDS_256K) !== 0) dataSize = DATA_SIZE_256K;
  }
  const macros = (actions & SMFIF.SETSYMLIST) !== 0 ? wants.macros : [];
  return { version: offer.version, actions, protocol: protocol >>> 0, macros, dataSize };
}

/**
 * Checks a filter's answer as an MTA does.
 *
 * @throws {ProtocolError} `bad-value` if it answers more than was offered.
 */
export function checkAnswer(offered: Options, answer: Options): void {
  if (answer.version > offered.version || (answer.version < MIN_VERSION && answer.version !== 0)) {
    throw new ProtocolError(
      "bad-value",
      `Cannot negotiate: the filter answers version ${answer.version} to an offer of ${offered.version}`,
    );
  }
  const actions = answer.actions & ~offered.actions;
  const protocol = answer.protocol & ~offered.protocol;
  if (actions !== 0 || protocol !== 0) {
    throw new ProtocolError(
      "bad-value",
      `Cannot negotiate: the filter answers actions 0x${(actions >>> 0).toString(16)} and protocol flags ` +
        `0x${(protocol >>> 0).toString(16)} that were not offered`,
    );
  }
}

const NOT = new Uint32Array(256);
const NO_REPLY = new Uint32Array(256);
for (
  const [code, not, noReply] of [
    [SMFIC.CONNECT, SMFIP.NOCONNECT, SMFIP.NR_CONN],
    [SMFIC.HELO, SMFIP.NOHELO, SMFIP.NR_HELO],
    [SMFIC.MAIL, SMFIP.NOMAIL, SMFIP.NR_MAIL],
    [SMFIC.RCPT, SMFIP.NORCPT, SMFIP.NR_RCPT],
    [SMFIC.DATA, SMFIP.NODATA, SMFIP.NR_DATA],
    [SMFIC.UNKNOWN, SMFIP.NOUNKNOWN, SMFIP.NR_UNKN],
    [SMFIC.HEADER, SMFIP.NOHDRS, SMFIP.NR_HDR],
    [SMFIC.EOH, SMFIP.NOEOH, SMFIP.NR_EOH],
    [SMFIC.BODY, SMFIP.NOBODY, SMFIP.NR_BODY],
  ]
) {
  NOT[code] = not;
  NO_REPLY[code] = noReply;
}
// Never answered, whatever was negotiated.
for (const code of [SMFIC.MACRO, SMFIC.ABORT, SMFIC.QUIT, SMFIC.QUIT_NC]) NO_REPLY[code] = 0xffffffff;

/** Does a command of that byte want an answer under these protocol flags? */
export function wantsReply(code: number, protocol: number): boolean {
  return NO_REPLY[code] !== 0xffffffff && (NO_REPLY[code] & protocol) === 0;
}

/** Does an MTA of that version send commands of that byte under these protocol flags? */
export function isSent(code: number, version: number, protocol: number): boolean {
  if (code === SMFIC.UNKNOWN && version < 3) return false;
  if (code === SMFIC.DATA && version < 4) return false;
  return (NOT[code] & protocol) === 0;
}
