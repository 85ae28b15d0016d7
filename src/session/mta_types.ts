/**
 * What goes into the MTA's side of a milter connection, and what comes out.
 *
 * @module
 */
import { type Agreement, type Command, type Reply, SMFIC } from "../protocol/mod.ts";
import type { Ends } from "./mta_answer.ts";
import type { MtaDialect } from "./mta_dialect.ts";
import type { MacroSource } from "./mta_macros.ts";

/** What the MTA has to tell; negotiation and macros the session adds itself. */
export type MtaCommand = Exclude<Command, { readonly kind: "negotiate" | "macros" }>;

/** What the MTA is. */
export interface MtaOptions {
  readonly dialect: MtaDialect;
  /** Protocol version to offer, 2 to 6. Default: 6. */
  readonly version?: number;
  /** SMFIF_* and SMFIP_* words to offer in place of the dialect's. */
  readonly actions?: number;
  readonly protocol?: number;
  /** Values of the macros. Default: none has one. */
  readonly macros?: MacroSource;
  /** Macro names by SMFIC_ byte in place of the dialect's lists. */
  readonly macroLists?: ReadonlyMap<number, readonly string[]>;
  /** Told what the filter does that both MTAs let pass and that it should not do. */
  readonly warn?: (message: string) => void;
}

/**
 * What `send` did: `asked` wrote the command and an answer follows; `told` wrote it and none follows; `unsent` wrote
 * no command (at most its macros), because the filter does not want it, or is done with the mail or the connection.
 */
export type Sent = "asked" | "told" | "unsent";

/** One reply of the filter. */
export type MtaEvent =
  | { readonly kind: "negotiated"; readonly agreement: Agreement }
  /** The filter is still at work (SMFIR_PROGRESS): the deadline starts anew. */
  | { readonly kind: "progress" }
  /** A change of the mail, quarantine included; the verdict is still to come. */
  | { readonly kind: "edit"; readonly edit: Reply }
  | MtaAnswer;

/** The verdict on one command. */
export interface MtaAnswer {
  readonly kind: "answer";
  /** SMFIC_ byte of the command. */
  readonly command: number;
  /** What the MTA makes of it; `continue` also where it ignores what came. */
  readonly verdict: "continue" | "accept" | "reject" | "tempfail" | "discard" | "skip";
  /** The reply for the SMTP client, if the filter gave one, lines parted by CRLF. */
  readonly reply: string | undefined;
  /**
   * What is over: nothing, this command (a recipient, DATA, an unknown command), the mail, or the whole connection
   * as far as this filter is concerned.
   */
  readonly ends: Ends;
}

/** The SMFIC_ byte of each command. */
export const COMMAND_CODES: Readonly<Record<MtaCommand["kind"], number>> = {
  connect: SMFIC.CONNECT,
  helo: SMFIC.HELO,
  mail: SMFIC.MAIL,
  rcpt: SMFIC.RCPT,
  data: SMFIC.DATA,
  unknown: SMFIC.UNKNOWN,
  header: SMFIC.HEADER,
  endOfHeaders: SMFIC.EOH,
  body: SMFIC.BODY,
  endOfMessage: SMFIC.BODYEOB,
  abort: SMFIC.ABORT,
  quit: SMFIC.QUIT,
  quitNewConnection: SMFIC.QUIT_NC,
};
