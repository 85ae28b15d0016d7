/**
 * From a filter's hooks and declarations to what the MTA is asked for: nothing that no hook wants is sent,
 * nothing without a hook is waited for.
 *
 * @module
 */
import type { Declarations, EditName, Filter, MacroRequest, Need } from "../filter/mod.ts";
import { EDIT_NAMES } from "../filter/mod.ts";
import { type MacroList, SMFIC, SMFIF, SMFIM, SMFIP, type Wants } from "../protocol/mod.ts";

/** The command stages a filter can have a hook for, in wire order, with their flags. */
export const STAGES = Object.freeze(
  [
    { hook: "connect", code: SMFIC.CONNECT, not: SMFIP.NOCONNECT, noReply: SMFIP.NR_CONN, need: "client" },
    { hook: "helo", code: SMFIC.HELO, not: SMFIP.NOHELO, noReply: SMFIP.NR_HELO, need: "helo" },
    { hook: "mail", code: SMFIC.MAIL, not: SMFIP.NOMAIL, noReply: SMFIP.NR_MAIL, need: "sender" },
    { hook: "rcpt", code: SMFIC.RCPT, not: SMFIP.NORCPT, noReply: SMFIP.NR_RCPT, need: "recipients" },
    { hook: "data", code: SMFIC.DATA, not: SMFIP.NODATA, noReply: SMFIP.NR_DATA, need: undefined },
    { hook: "unknown", code: SMFIC.UNKNOWN, not: SMFIP.NOUNKNOWN, noReply: SMFIP.NR_UNKN, need: undefined },
    { hook: "header", code: SMFIC.HEADER, not: SMFIP.NOHDRS, noReply: SMFIP.NR_HDR, need: "headers" },
    { hook: "endOfHeaders", code: SMFIC.EOH, not: SMFIP.NOEOH, noReply: SMFIP.NR_EOH, need: undefined },
    { hook: "body", code: SMFIC.BODY, not: SMFIP.NOBODY, noReply: SMFIP.NR_BODY, need: "body" },
  ] as const,
);

/** Does the filter ask the MTA not to wait for the hook of a stage? */
export function isSilent({ noReply }: Declarations, hook: (typeof STAGES)[number]["hook"]): boolean {
  return noReply !== undefined && (noReply as readonly string[]).includes(hook);
}

/** The hook behind each command byte, for messages. */
export const HOOK_OF_COMMAND: ReadonlyMap<number, string> = new Map<number, string>([
  ...STAGES.map((stage) => [stage.code, stage.hook] as const),
  [SMFIC.OPTNEG, "negotiate"],
  [SMFIC.BODYEOB, "endOfMessage"],
  [SMFIC.ABORT, "abort"],
]);

/** The flag behind each edit. */
export const EDIT_FLAGS: Readonly<Record<EditName, number>> = Object.freeze({
  addHeader: SMFIF.ADDHDRS,
  insertHeader: SMFIF.ADDHDRS,
  changeHeader: SMFIF.CHGHDRS,
  removeHeader: SMFIF.CHGHDRS,
  replaceBody: SMFIF.CHGBODY,
  addRecipient: SMFIF.ADDRCPT | SMFIF.ADDRCPT_PAR,
  removeRecipient: SMFIF.DELRCPT,
  changeSender: SMFIF.CHGFROM,
  quarantine: SMFIF.QUARANTINE,
});

const ALL_NEEDS: readonly Need[] = ["client", "helo", "sender", "recipients", "headers", "body"];

/** What a filter's hooks read besides the events they handle. */
export function needsOf(filter: Filter, declared: Declarations = filter): ReadonlySet<Need> {
  return new Set(declared.needs ?? (filter.message === undefined ? [] : ALL_NEEDS));
}

/** The edits a filter may make, before the MTA's offer is known. */
export function editsOf(filter: Filter, declared: Declarations = filter): readonly EditName[] {
  if (filter.endOfMessage === undefined && filter.message === undefined) return [];
  return declared.edits ?? EDIT_NAMES;
}

/**
 * What to ask the MTA for.
 *
 * @param answerData Ask for SMFIC_DATA, and answer it, even without a hook. On TCP with Postfix that answer saves a
 * delayed acknowledgement of some 40 ms: its content process cannot send before the envelope's last bytes are
 * acknowledged.
 */
export function wantsOf(filter: Filter, answerData: boolean, declared: Declarations = filter): Wants {
  const needs = needsOf(filter, declared);
  let protocol = 0;
  for (const stage of STAGES) {
    if (filter[stage.hook] !== undefined) {
      if (isSilent(declared, stage.hook)) protocol |= stage.noReply;
      continue;
    }
    if (stage.hook === "data" && answerData) continue;
    // Both bits: an MTA that cannot do without an answer can still not send at all, and the other way round.
    if (stage.need !== undefined && needs.has(stage.need)) protocol |= stage.noReply;
    // MAIL always comes: without it nothing would tell one mail of a connection from the next, because Sendmail sends
    // no abort where it may not send MAIL.
    else if (stage.hook === "mail") protocol |= stage.noReply;
    else protocol |= stage.not;
  }
  if (filter.body !== undefined && !isSilent(declared, "body")) protocol |= SMFIP.SKIP;
  if (declared.leadingSpace) protocol |= SMFIP.HDR_LEADSPC;
  if (declared.refusedRecipients) protocol |= SMFIP.RCPT_REJ;
  let actions = 0;
  for (const edit of editsOf(filter, declared)) actions |= EDIT_FLAGS[edit];
  const macros = macroLists(declared.macros);
  if (macros.length > 0) actions |= SMFIF.SETSYMLIST;
  return { actions, protocol, macros };
}

const MACRO_STAGES: readonly (readonly [keyof MacroRequest, number])[] = [
  ["connect", SMFIM.CONNECT],
  ["helo", SMFIM.HELO],
  ["mail", SMFIM.ENVFROM],
  ["rcpt", SMFIM.ENVRCPT],
  ["data", SMFIM.DATA],
  ["endOfMessage", SMFIM.EOM],
  ["endOfHeaders", SMFIM.EOH],
];

/** Sendmail's limit of macros in one list. */
const MAX_MACROS = 50;

/**
 * The lists of a SETSYMLIST. Sendmail up to 8.18.0.2 looks at the end-of-headers list to decide about the one of the
 * end of message, so where one of the two is given the other goes with it.
 *
 * @throws {RangeError} for a name that is not printable, or over 50 names.
 */
export function macroLists(request: MacroRequest | undefined): MacroList[] {
  if (request === undefined) return [];
  const asked: Record<string, readonly string[] | undefined> = { ...request };
  asked.endOfHeaders ??= asked.endOfMessage;
  asked.endOfMessage ??= asked.endOfHeaders;
  const encoder = new TextEncoder();
  const lists: MacroList[] = [];
  for (const [stage, number] of MACRO_STAGES) {
    const names = asked[stage];
    // An empty list would make Postfix send its own list again, so there is nothing to gain by one.
    if (names === undefined || names.length === 0) continue;
    if (names.length > MAX_MACROS) {
      throw new RangeError(
        `Cannot ask for ${names.length} macros at ${stage}: Sendmail takes at most ${MAX_MACROS}`,
      );
    }
    const wire = names.map((name) => macroName(name, stage));
    // An own list replaces the MTA's, and with it the queue id that every log line needs.
    if (number >= SMFIM.ENVFROM && !wire.includes("i")) wire.unshift("i");
    lists.push({ stage: number, names: encoder.encode(wire.join(" ")) });
  }
  return lists;
}

function macroName(name: string, stage: string): string {
  const bare = name.startsWith("{") && name.endsWith("}") ? name.slice(1, -1) : name;
  if (!/^[\x21-\x7a]+$/.test(bare) || bare.includes(",")) {
    throw new RangeError(
      `Cannot ask for macro "${name}" at ${stage}: a name is printable ASCII without blank and comma`,
    );
  }
  return bare.length === 1 ? bare : `{${bare}}`;
}
