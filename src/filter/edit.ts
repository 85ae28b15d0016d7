/**
 * Edits: what a filter changes in the mail, described on the mail as it arrived.
 *
 * The runtime turns them into frames, order and indexes such that Postfix and Sendmail end with the same mail.
 *
 * @module
 */

/** Text (sent as UTF-8), or bytes that are sent as they are. Must hold no NUL. */
export type Text = string | Uint8Array;

/** One change. `index` of change and remove counts from 1 among the fields of that name, in the mail as it arrived. */
export type Edit =
  | { readonly kind: "addHeader"; readonly name: string; readonly value: Text }
  | { readonly kind: "insertHeader"; readonly index: number; readonly name: string; readonly value: Text }
  | { readonly kind: "changeHeader"; readonly name: string; readonly index: number; readonly value: Text }
  | { readonly kind: "removeHeader"; readonly name: string; readonly index: number }
  | { readonly kind: "replaceBody"; readonly body: Uint8Array }
  | { readonly kind: "addRecipient"; readonly address: Text; readonly args: string | undefined }
  | { readonly kind: "removeRecipient"; readonly address: Text }
  | { readonly kind: "changeSender"; readonly address: Text; readonly args: string | undefined }
  | { readonly kind: "quarantine"; readonly reason: string };

/** The name of an edit, as in {@linkcode Filter.edits}. */
export type EditName = Edit["kind"];

/** Every edit that the protocol has. */
export const EDIT_NAMES: readonly EditName[] = Object.freeze([
  "addHeader",
  "insertHeader",
  "changeHeader",
  "removeHeader",
  "replaceBody",
  "addRecipient",
  "removeRecipient",
  "changeSender",
  "quarantine",
]);

/** The edits a hook can ask for at the end of the message. Each only notes the edit; the MTA gets all in one write. */
export interface Edits {
  /** Appends a field at the end of the header (SMFIR_INSHEADER with a far index, so that both MTAs append). */
  addHeader(name: string, value: Text): void;
  /**
   * Inserts a field at a position of the header (SMFIR_INSHEADER): 0 is the very top, above the MTA's own Received,
   * 1 directly below it. From 2 on Postfix counts the fields of the final header, Sendmail also its hidden default
   * fields: only 0, 1 and a number past the end mean the same on both.
   */
  insertHeader(index: number, name: string, value: Text): void;
  /** Gives the nth field of that name (from 1, any case) another value (SMFIR_CHGHEADER). Adds it if there is none. */
  changeHeader(name: string, value: Text, nth?: number): void;
  /**
   * Removes the nth field of that name (from 1, any case), or all of them when `nth` is left out
   * (SMFIR_CHGHEADER with an empty value). Removing all needs the headers: have a `header` or `message` hook,
   * or declare `needs: ["headers"]`.
   */
  removeHeader(name: string, nth?: number): void;
  /** Replaces the whole body (SMFIR_REPLBODY). Lines end with CRLF; a string is sent as UTF-8. The last call counts. */
  replaceBody(body: Uint8Array | string): void;
  /** Adds a recipient (SMFIR_ADDRCPT), with ESMTP arguments such as `"NOTIFY=NEVER"` if given (SMFIR_ADDRCPT_PAR). */
  addRecipient(address: Text, args?: string): void;
  /** Removes a recipient (SMFIR_DELRCPT). Pass the {@linkcode EnvelopeAddress} itself, or what the client typed. */
  removeRecipient(address: Text | { readonly raw: Uint8Array }): void;
  /** Changes the envelope sender (SMFIR_CHGFROM); `"<>"` is the null sender. */
  changeSender(address: Text, args?: string): void;
  /** Holds the mail in the MTA's quarantine queue, with a reason for its log (SMFIR_QUARANTINE). */
  quarantine(reason: string): void;
}
