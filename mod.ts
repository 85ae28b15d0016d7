/**
 * millrace: mail filters for Postfix and Sendmail, written in TypeScript.
 *
 * A filter is a plain object with hooks; it needs nothing from here but types.
 *
 * @example A filter, and its test without a mail server
 * ```ts
 * import { type Filter, runFilter } from "@millrace/millrace";
 * import assert from "node:assert/strict";
 *
 * const noBulk: Filter = {
 *   name: "no-bulk",
 *   message(mail, { accept, reject, addHeader }) {
 *     if (mail.headers.get("X-Mailer")?.includes("bulk")) return reject("5.7.1", "not here");
 *     addHeader("X-Checked", "yes");
 *     return accept();
 *   },
 * };
 *
 * const refused = await runFilter(noBulk, { message: "X-Mailer: bulk 3000\n\nBuy!\n" });
 * assert.equal(refused.reply, "550 5.7.1 not here");
 * ```
 *
 * @module
 */
export * from "./src/filter/mod.ts";
export { type FilterRun, runFilter, type RunOptions, type TestMail } from "./src/testing/run_filter.ts";
export type { Dialect, EditedMail, EnvelopedMail } from "./src/testing/edited_mail.ts";
export type { WireMail } from "./src/testing/eml.ts";
export { MtaClient } from "./src/testing/mta_client.ts";
export {
  MtaClientError,
  type MtaClientErrorKind,
  type MtaClientOptions,
} from "./src/testing/mta_client_types.ts";
export type { TraceEntry } from "./src/testing/trace.ts";
export type { MailSource, SendOptions, SentMail } from "./src/testing/mta_mail.ts";
