/**
 * What a filter is: its hooks, what they get, what they may return.
 *
 * @module
 */
import type { EditName, Edits } from "./edit.ts";
import type { HeaderField, HeaderList } from "./header_list.ts";
import type { Client, EnvelopeAddress, Macros, Mail } from "./mail.ts";
import type { Accept, Continue, Discard, Reject, Skip, Tempfail } from "./verdict.ts";

/** What a hook may return: nothing (go on), a verdict, or a promise of either. */
export type Returns<V> = V | Continue | void | Promise<V | Continue | void>;

/** Verdicts legal at connect and helo; there `accept` ends the filter's interest in the whole connection. */
export type ConnectionVerdict = Accept | Reject | Tempfail;
/** Verdicts legal for an unknown command. Postfix does not survive `accept` there. */
export type UnknownVerdict = Reject | Tempfail;
/** Verdicts legal at mail, rcpt, data, header, endOfHeaders, endOfMessage and message. */
export type MessageVerdict = Accept | Reject | Tempfail | Discard;
/** Verdicts legal for a body chunk. */
export type BodyVerdict = MessageVerdict | Skip;

/** Structured logging; `fields` become part of the record. */
export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What a filter module that default-exports a function gets. */
export interface FilterEnv {
  /** The filter's `options` from the configuration, as its {@linkcode Manifest}'s schema gives them; `{}` if there are none. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly log: Log;
  /** Aborted when the filter is unloaded. */
  readonly signal: AbortSignal;
}

/** What every hook can look at. Values are there once the MTA has sent them (see {@linkcode Filter.needs}). */
export interface StageContext {
  readonly client: Client | undefined;
  readonly helo: string | undefined;
  readonly macros: Macros;
  /** The MTA's queue id (macro `i`), once known: Sendmail from mail on, Postfix after the first accepted recipient. */
  readonly queueId: string | undefined;
  /** Yours for the life of the SMTP connection: put there what later hooks need (smfi_setpriv). */
  readonly connection: Record<string, unknown>;
  /** Aborted when the mail is aborted, the MTA goes away, or the hook's time is up. Pass it to `fetch` and the like. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Context of connect and helo. */
export interface ConnectionContext extends StageContext {
  continue(): Continue;
  accept(): Accept;
  reject(enhanced?: string, text?: string | readonly string[], code?: number): Reject;
  tempfail(enhanced?: string, text?: string | readonly string[], code?: number): Tempfail;
}

/** Context of an unknown command. */
export interface UnknownContext extends StageContext {
  continue(): Continue;
  reject(enhanced?: string, text?: string | readonly string[], code?: number): Reject;
  tempfail(enhanced?: string, text?: string | readonly string[], code?: number): Tempfail;
}

/** What hooks inside a mail can look at besides. */
export interface TransactionInfo extends StageContext {
  readonly sender: EnvelopeAddress | undefined;
  /** The recipients so far, without those that this filter or the MTA refused. */
  readonly recipients: readonly EnvelopeAddress[];
  /** The header fields so far. */
  readonly headers: HeaderList;
  /** Yours for the life of this mail; a new one for the next mail. */
  readonly transaction: Record<string, unknown>;
}

/** Context of mail, rcpt, data, header and endOfHeaders. */
export interface TransactionContext extends TransactionInfo {
  continue(): Continue;
  accept(): Accept;
  reject(enhanced?: string, text?: string | readonly string[], code?: number): Reject;
  tempfail(enhanced?: string, text?: string | readonly string[], code?: number): Tempfail;
  discard(): Discard;
}

/** Context of body. */
export interface BodyContext extends TransactionContext {
  skip(): Skip;
}

/** Context of endOfMessage and message: the only place for edits. */
export interface EndOfMessageContext extends TransactionContext, Edits {}

/** Parts of the mail that a filter reads from its context although no hook of that stage exists. */
export type Need = "client" | "helo" | "sender" | "recipients" | "headers" | "body";

/** Macro names to ask the MTA for, by stage, with or without braces (SETSYMLIST). At most 50 a stage. */
export interface MacroRequest {
  readonly connect?: readonly string[];
  readonly helo?: readonly string[];
  readonly mail?: readonly string[];
  readonly rcpt?: readonly string[];
  readonly data?: readonly string[];
  readonly endOfHeaders?: readonly string[];
  readonly endOfMessage?: readonly string[];
}

/** The hooks of a mail before its end. */
export type MailStage = "mail" | "rcpt" | "data" | "header" | "endOfHeaders" | "body";

/** What the MTA offers (SMFIC_OPTNEG), for the `negotiate` hook. */
export interface Offer {
  /** Protocol version, 2 to 6. */
  readonly version: number;
  /** The edits that the MTA can do. */
  readonly edits: readonly EditName[];
  /** SMFIF_* and SMFIP_* words as sent. */
  readonly actions: number;
  readonly protocol: number;
}

/** What a filter declares about itself; the `negotiate` hook may return it anew for one connection. */
export interface Declarations {
  /**
   * The edits that the filter makes; others then throw. Default: all, if it has an `endOfMessage` or `message` hook.
   * An edit that the MTA does not offer throws when it is made.
   */
  readonly edits?: readonly EditName[];
  /**
   * What hooks read from their context although no hook of that stage exists. Default: for a `message` hook
   * everything, otherwise nothing.
   */
  readonly needs?: readonly Need[];
  /** Macros to ask for; without it the MTA sends what it is configured to. */
  readonly macros?: MacroRequest;
  /** Header values come with the blank after the colon, and edits must bring their own (SMFIP_HDR_LEADSPC). Default false. */
  readonly leadingSpace?: boolean;
  /** Call `rcpt` also for recipients that the MTA itself refuses (SMFIP_RCPT_REJ). Default false. */
  readonly refusedRecipients?: boolean;
  /**
   * Hooks that only look: they return nothing, and the MTA goes on without waiting for them (SMFIP_NR_*, SMFIS_NOREPLY),
   * which saves a round trip for each event; most with `header` and `body`. When one fails, the mail's next answer tells,
   * by policy; a verdict from one is a failure. Default: none.
   */
  readonly noReply?: readonly MailStage[];
}

/**
 * A mail filter. Hooks that do not exist cost nothing: the MTA is told not to send their events.
 *
 * All hooks may be async. One connection's hooks run one after the other, never two at once; the hooks of many
 * connections interleave.
 *
 * @example A filter that refuses a sender and marks the rest
 * ```ts
 * import type { Filter } from "@millrace/millrace";
 *
 * const filter: Filter = {
 *   name: "no-bulk",
 *   message(mail, { accept, reject, addHeader }) {
 *     if (mail.headers.get("X-Mailer")?.includes("bulk")) return reject("5.7.1", "not here");
 *     addHeader("X-Checked", "yes");
 *     return accept();
 *   },
 * };
 * export default filter;
 * ```
 *
 * The module may export a {@linkcode Manifest} besides: its version, a schema for its options, the rights it wishes.
 */
export interface Filter extends Declarations {
  /** Name for logs and reports. Default: the name of its module. */
  readonly name?: string;

  /** Sees the MTA's offer and may declare anew for this connection (xxfi_negotiate). */
  negotiate?(offer: Offer): Declarations | void;
  /** An SMTP client connected (SMFIC_CONNECT, xxfi_connect). A reply text is shown at MAIL by Postfix and not at all by Sendmail. */
  connect?(client: Client, context: ConnectionContext): Returns<ConnectionVerdict>;
  /** HELO or EHLO (SMFIC_HELO, xxfi_helo). May come several times, or never. A refusal is shown at MAIL. */
  helo?(name: string, context: ConnectionContext): Returns<ConnectionVerdict>;
  /** MAIL FROM (SMFIC_MAIL, xxfi_envfrom): a mail begins. */
  mail?(sender: EnvelopeAddress, context: TransactionContext): Returns<MessageVerdict>;
  /** RCPT TO (SMFIC_RCPT, xxfi_envrcpt). reject and tempfail refuse this recipient; accept and discard are for the whole mail. */
  rcpt?(recipient: EnvelopeAddress, context: TransactionContext): Returns<MessageVerdict>;
  /** DATA (SMFIC_DATA, xxfi_data); protocol version 4 and later. */
  data?(context: TransactionContext): Returns<MessageVerdict>;
  /** An SMTP command that the MTA does not know (SMFIC_UNKNOWN, xxfi_unknown); protocol version 3 and later. */
  unknown?(command: string, context: UnknownContext): Returns<UnknownVerdict>;
  /** One header field (SMFIC_HEADER, xxfi_header). */
  header?(field: HeaderField, context: TransactionContext): Returns<MessageVerdict>;
  /** The header is complete (SMFIC_EOH, xxfi_eoh). */
  endOfHeaders?(context: TransactionContext): Returns<MessageVerdict>;
  /**
   * A piece of the body (SMFIC_BODY, xxfi_body), cut anywhere, at most 65,535 bytes from today's MTAs.
   * The bytes are valid until the hook returns, or its promise settles: `chunk.slice()` keeps them.
   */
  body?(chunk: Uint8Array<ArrayBuffer>, context: BodyContext): Returns<BodyVerdict>;
  /** The mail is complete (SMFIC_BODYEOB, xxfi_eom). */
  endOfMessage?(context: EndOfMessageContext): Returns<MessageVerdict>;
  /** The whole mail at once, after `endOfMessage` went on; nothing before it waits for an answer. */
  message?(mail: Mail, context: EndOfMessageContext): Returns<MessageVerdict>;
  /** The mail ended without a verdict: RSET, a lost client, a new MAIL (SMFIC_ABORT, xxfi_abort). Not called after endOfMessage. */
  abort?(context: TransactionInfo): void | Promise<void>;
  /** The connection is over (SMFIC_QUIT, xxfi_close); called exactly once. */
  close?(context: StageContext): void | Promise<void>;
}

/** What a filter module default-exports: a filter, or a function that makes one. */
export type FilterModule = Filter | ((env: FilterEnv) => Filter | Promise<Filter>);
