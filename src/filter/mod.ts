/**
 * What filter authors import: types, and the functions that make verdicts.
 *
 * @module
 */
export type { Edit, EditName, Edits, Text } from "./edit.ts";
export { EDIT_NAMES } from "./edit.ts";
export { HeaderBlock } from "./header_block.ts";
export { HeaderField, HeaderList } from "./header_list.ts";
export type { Body, Client, EnvelopeAddress, Macros, Mail } from "./mail.ts";
export type { Manifest, OptionsIssue, OptionsResult, OptionsSchema, WishedPermissions } from "./manifest.ts";
export type {
  BodyContext,
  BodyVerdict,
  ConnectionContext,
  ConnectionVerdict,
  Declarations,
  EndOfMessageContext,
  Filter,
  FilterEnv,
  FilterModule,
  Log,
  MacroRequest,
  MailStage,
  MessageVerdict,
  Need,
  Offer,
  Returns,
  StageContext,
  TransactionContext,
  TransactionInfo,
  UnknownContext,
  UnknownVerdict,
} from "./types.ts";
export { accept, discard, proceed, reject, skip, tempfail } from "./verdict.ts";
export type { Accept, Continue, Discard, Reject, Skip, SmtpReply, Tempfail, Verdict } from "./verdict.ts";
