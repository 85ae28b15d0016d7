/**
 * Which macros an MTA sends in front of which command: its own lists, or those that the filter asked for.
 *
 * @module
 */
import { type MacroList, type MacroPair, SMFIC, SMFIM } from "../protocol/mod.ts";
import type { MtaDialect } from "./mta_dialect.ts";

/** Value of a macro by its bare name (`i`, `mail_addr`); undefined if it is not set, and then it is not sent. */
export type MacroSource = (name: string) => string | undefined;

type Lists = ReadonlyMap<number, readonly string[]>;

const TLS = ["{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"];

/** Postfix's defaults (mail_params.h). A field goes with the list of its end, a piece of body with that of the mail's end. */
const POSTFIX: Lists = new Map([
  [SMFIC.CONNECT, ["j", "{daemon_name}", "{daemon_addr}", "v", "_"]],
  [SMFIC.HELO, TLS],
  [SMFIC.MAIL, [
    "i",
    "{auth_type}",
    "{auth_authen}",
    "{auth_author}",
    "{mail_addr}",
    "{mail_host}",
    "{mail_mailer}",
  ]],
  [SMFIC.RCPT, ["i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"]],
  [SMFIC.DATA, ["i"]],
  [SMFIC.EOH, ["i"]],
  [SMFIC.BODYEOB, ["i"]],
  [SMFIC.UNKNOWN, []],
]);

/** Sendmail's defaults (cf/README); a stage that is missing has no list, and so no macro frame. */
const SENDMAIL: Lists = new Map([
  [SMFIC.CONNECT, ["j", "_", "{daemon_name}", "{if_name}", "{if_addr}"]],
  [SMFIC.HELO, TLS],
  [SMFIC.MAIL, [
    "i",
    "{auth_type}",
    "{auth_authen}",
    "{auth_ssf}",
    "{auth_author}",
    "{mail_mailer}",
    "{mail_host}",
    "{mail_addr}",
  ]],
  [SMFIC.RCPT, ["{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"]],
  [SMFIC.BODYEOB, ["{msg_id}"]],
]);

/** The command behind each list of a SETSYMLIST. */
const COMMANDS: ReadonlyMap<number, number> = new Map([
  [SMFIM.CONNECT, SMFIC.CONNECT],
  [SMFIM.HELO, SMFIC.HELO],
  [SMFIM.ENVFROM, SMFIC.MAIL],
  [SMFIM.ENVRCPT, SMFIC.RCPT],
  [SMFIM.DATA, SMFIC.DATA],
  [SMFIM.EOM, SMFIC.BODYEOB],
  [SMFIM.EOH, SMFIC.EOH],
]);

/** The macros that Postfix or Sendmail send at a stage (SMFIM_ number) unless they are asked for others. */
export function defaultMacros(stage: number): readonly string[] {
  const code = COMMANDS.get(stage);
  if (code === undefined) return [];
  return [...new Set([...POSTFIX.get(code) ?? [], ...SENDMAIL.get(code) ?? []])];
}

/** Sendmail reads no more names of one list. */
const SENDMAIL_MOST = 50;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes the macro frames of one connection. */
export class MtaMacros {
  readonly #dialect: MtaDialect;
  readonly #source: MacroSource;
  readonly #own: Lists | undefined;
  #lists: Map<number, readonly string[]> = new Map();

  /** @param own Lists by SMFIC_ byte in place of the dialect's, as an administrator configures them. */
  constructor(dialect: MtaDialect, source: MacroSource, own?: Lists) {
    this.#dialect = dialect;
    this.#source = source;
    this.#own = own;
  }

  /** Takes the filter's lists, after the negotiation. Returns what is odd about them. */
  agree(version: number, asked: readonly MacroList[]): string[] {
    const odd: string[] = [];
    const postfix = this.#dialect === "postfix";
    this.#lists = new Map([...(postfix ? POSTFIX : SENDMAIL), ...(this.#own ?? [])]);
    // Postfix has had the end of headers as a stage of its own only since version 6.
    if (postfix && version < 6 && !this.#own?.has(SMFIC.EOH)) this.#lists.set(SMFIC.EOH, []);
    const theirs = new Map<number, readonly string[]>();
    for (const { stage, names } of asked) {
      const code = COMMANDS.get(stage);
      if (code === undefined) {
        odd.push(`The filter asks for macros of stage ${stage}, known are 0 to 6: the list is not used`);
        // Sendmail reads no further.
        if (!postfix) break;
        continue;
      }
      const words = decoder.decode(names).split(/[\s,]+/).filter((name) => name !== "");
      if (!postfix && words.length > SENDMAIL_MOST) {
        odd.push(
          `The filter asks for ${words.length} macros of stage ${stage}: Sendmail takes ${SENDMAIL_MOST}`,
        );
        words.length = SENDMAIL_MOST;
      }
      theirs.set(code, postfix ? words : words.map(ownSpelling));
    }
    if (postfix) {
      // An empty list does not switch the stage off.
      for (const [code, words] of theirs) if (words.length > 0) this.#lists.set(code, words);
      return odd;
    }
    // Sendmail up to 8.18.0.2 decides about the list of the end of message by that of the end of headers.
    const end = theirs.get(SMFIC.BODYEOB);
    const usesOwn = !theirs.has(SMFIC.EOH);
    if (usesOwn && end !== undefined) {
      odd.push(
        "Sendmail ignores a macro list for the end of message unless there is one for the end of headers",
      );
      theirs.delete(SMFIC.BODYEOB);
    } else if (!usesOwn && end === undefined) {
      odd.push("Sendmail sends no macros at the end of message if only the end of headers has a list");
      theirs.set(SMFIC.BODYEOB, []);
    }
    for (const [code, words] of theirs) {
      if (words.length > 0) this.#lists.set(code, words);
      else this.#lists.delete(code);
    }
    return odd;
  }

  /** The macros in front of a command; undefined where this MTA sends no macro frame. */
  pairs(code: number): readonly MacroPair[] | undefined {
    const list = this.#listOf(code);
    if (list === undefined) return undefined;
    const pairs: MacroPair[] = [];
    for (const name of list) {
      const value = this.#source(bareMacroName(name));
      // A NUL would end the value early, so an MTA never has one there.
      if (value !== undefined) {
        pairs.push([encoder.encode(name), encoder.encode(value.replaceAll("\0", " "))]);
      }
    }
    return pairs;
  }

  #listOf(code: number): readonly string[] | undefined {
    if (this.#dialect === "sendmail") return this.#lists.get(code);
    if (code === SMFIC.HEADER) return this.#lists.get(SMFIC.EOH);
    if (code === SMFIC.BODY) return this.#lists.get(SMFIC.BODYEOB);
    return this.#lists.get(code) ?? [];
  }
}

/** A macro's name without its braces. */
export function bareMacroName(name: string): string {
  return name.length > 2 && name.startsWith("{") && name.endsWith("}") ? name.slice(1, -1) : name;
}

/** As Sendmail's tables spell it: one letter bare, longer names in braces. */
function ownSpelling(name: string): string {
  const bare = bareMacroName(name);
  return bare.length === 1 ? bare : `{${bare}}`;
}
