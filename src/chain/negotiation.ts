/**
 * One answer to the MTA's offer for all links: what any of them wants is asked for, and what none waits for is not
 * answered.
 *
 * @module
 */
import {
  type Agreement,
  DATA_SIZE,
  effectiveOffer,
  isSent,
  type MacroList,
  MAX_VERSION,
  type Options,
  SMFIC,
  SMFIF,
  SMFIM,
  SMFIP,
  wantsReply,
} from "../protocol/mod.ts";
import { defaultMacros } from "../session/mta_macros.ts";
import { STAGES } from "../session/wants.ts";
import type { ChainOptions } from "./plan.ts";

/** What the chain itself has to see, whatever its links want. */
export interface OwnNeeds {
  readonly client: boolean;
  readonly helo: boolean;
  readonly recipients: boolean;
  readonly headers: boolean;
  readonly body: boolean;
  /** Macros that conditions read and the MTA may have to be asked for. */
  readonly macros: readonly MacroList[];
}

/** What the chain has to see so that it can decide which links are concerned, and put their edits together. */
export function ownNeeds({ entries, shadows }: ChainOptions, agreements: readonly Agreement[]): OwnNeeds {
  const all = [...entries, ...shadows.map(({ entry }) => entry)];
  const needs = new Set(all.flatMap(({ when }) => [...when?.needs ?? []]));
  const editors = agreements.filter(({ actions }) => (actions & HEADER_EDITS) !== 0).length;
  const shadowed = shadows.length > 0;
  return {
    client: needs.has("client") || shadowed,
    helo: needs.has("helo") || shadowed,
    recipients: needs.has("recipients") || shadowed,
    headers: needs.has("headers") || editors > 1 || shadowed,
    body: needs.has("body") || shadowed,
    macros: all.flatMap(({ when }) => when?.macros ?? []),
  };
}

/** The offer as the links get it: frames between them have the usual size. */
export function offerForLinks(offer: Options): Options {
  return { ...offer, protocol: (offer.protocol & ~(SMFIP.MDS_256K | SMFIP.MDS_1M)) >>> 0 };
}

/** The edits that change the header. */
export const HEADER_EDITS = SMFIF.ADDHDRS | SMFIF.CHGHDRS;

/**
 * Puts the agreements of all links together.
 *
 * @param answerData As for `wantsOf`: DATA is asked for and answered for the sake of the carrier.
 */
export function joined(
  offer: Options,
  agreements: readonly Agreement[],
  own: OwnNeeds,
  answerData: boolean,
): Agreement {
  const version = Math.min(MAX_VERSION, offer.version);
  const needed: Readonly<Record<string, boolean>> = {
    connect: own.client,
    helo: own.helo,
    // Without MAIL nothing tells one mail from the next.
    mail: true,
    rcpt: own.recipients,
    header: own.headers,
    // The end of the header is a stage of its own for conditions on it.
    endOfHeaders: own.headers,
    body: own.body,
  };
  let protocol = 0;
  for (const { hook, code, not, noReply } of STAGES) {
    const asked = agreements.some((agreement) => asks(agreement, code));
    if (asked || (code === SMFIC.DATA && answerData)) continue;
    const seen = needed[hook] === true ||
      agreements.some(({ version, protocol }) => isSent(code, version, protocol));
    protocol |= seen ? noReply : not;
  }
  for (const flag of [SMFIP.SKIP, SMFIP.RCPT_REJ, SMFIP.HDR_LEADSPC]) {
    if (agreements.some((agreement) => (agreement.protocol & flag) !== 0)) protocol |= flag;
  }
  let actions = 0;
  for (const agreement of agreements) actions |= agreement.actions;
  const macros = version < 6 || (offer.actions & SMFIF.SETSYMLIST) === 0
    ? []
    : joinedMacros(agreements, own.macros);
  actions = macros.length > 0 ? actions | SMFIF.SETSYMLIST : actions & ~SMFIF.SETSYMLIST;
  protocol = (protocol & effectiveOffer(offer).protocol) >>> 0;
  return { version, actions, protocol, macros, dataSize: DATA_SIZE };
}

/** Does whoever is asked for what `one` wants also have what `other` wants? */
export function covers(one: Agreement, other: Agreement): boolean {
  const flags = SMFIP.SKIP | SMFIP.RCPT_REJ | SMFIP.HDR_LEADSPC;
  return (other.actions & ~one.actions) === 0 && (other.protocol & ~one.protocol & flags) === 0 &&
    STAGES.every(({ code }) =>
      !isSent(code, other.version, other.protocol) || isSent(code, one.version, one.protocol)
    );
}

/** Does a link with that agreement answer commands of that byte? */
export function asks({ version, protocol }: Agreement, code: number): boolean {
  return isSent(code, version, protocol) && wantsReply(code, protocol);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Sendmail's limit of macros in one list. */
const MAX_MACROS = 50;

/** A list of a link's own replaces the MTA's; where others count on the MTA's, it has to bring those along. */
function joinedMacros(agreements: readonly Agreement[], own: readonly MacroList[]): MacroList[] {
  const listsFor = (stage: number) =>
    agreements.map(({ macros }) => macros.find((list) => list.stage === stage));
  const ownFor = (stage: number) => own.filter((list) => list.stage === stage);
  const wanted = new Set([...agreements.flatMap(({ macros }) => macros), ...own].map(({ stage }) => stage));
  // Sendmail looks at one of the two lists to decide about the other.
  if (wanted.has(SMFIM.EOM) || wanted.has(SMFIM.EOH)) wanted.add(SMFIM.EOM).add(SMFIM.EOH);
  return [...wanted].toSorted((a, b) => a - b).map((stage) => {
    const names = new Set<string>();
    for (const list of [...listsFor(stage), ...ownFor(stage)]) {
      for (const name of list === undefined ? defaultMacros(stage) : namesOf(list)) names.add(name);
    }
    // Without a link nobody else counts on them, but the log does.
    if (agreements.length === 0) { for (const name of defaultMacros(stage)) names.add(name); }
    return { stage, names: encoder.encode([...names].slice(0, MAX_MACROS).join(" ")) };
  });
}

function namesOf({ names }: MacroList): string[] {
  return decoder.decode(names).split(/[\s,]+/).filter((name) => name !== "");
}
