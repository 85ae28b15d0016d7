/**
 * A filter's answer to the MTA's offer.
 *
 * @module
 */
import { EDIT_NAMES, type EditName, type Filter, type HeaderList } from "../filter/mod.ts";
import { agree, type Agreement, DATA_SIZE, MIN_VERSION, type Options, SMFIP } from "../protocol/mod.ts";
import type { EditRules } from "./edits.ts";
import type { FilterPlan } from "./plan.ts";
import { EDIT_FLAGS, editsOf, isSilent, needsOf, STAGES, wantsOf } from "./wants.ts";

/** What holds for a connection once it is negotiated. */
export interface Terms {
  readonly agreement: Agreement;
  readonly rules: Omit<EditRules, "headers">;
  /** Fields are kept for contexts and edits. */
  readonly keepHeaders: boolean;
  /** The body is kept for a `message` hook. */
  readonly keepBody: boolean;
  /** Hooks that may not answer, by their commands. */
  readonly silent: readonly number[];
}

/** Before the negotiation: nothing may be done. */
export const NO_TERMS: Terms = Object.freeze({
  agreement: { version: 0, actions: 0, protocol: 0, macros: [], dataSize: 0 },
  rules: {
    agreement: { version: 0, actions: 0, protocol: 0, macros: [], dataSize: 0 },
    declared: [],
    dropBlank: false,
  },
  keepHeaders: false,
  keepBody: false,
  silent: [],
});

/**
 * Works out the terms.
 *
 * @param answerData As for `wantsOf`.
 * @throws {ProtocolError} `bad-value` for an offer that cannot be met.
 */
export function termsFor(plan: FilterPlan, offer: Options, declared: Filter, answerData: boolean): Terms {
  const { filter } = plan;
  const agreement = agree(offer, wantsOf(filter, answerData, declared), plan.limits.frame);
  const needs = needsOf(filter, declared);
  const spaced = (agreement.protocol & SMFIP.HDR_LEADSPC) !== 0;
  return {
    agreement,
    rules: {
      agreement,
      declared: editsOf(filter, declared),
      dropBlank: declared.leadingSpace === true && !spaced,
    },
    keepHeaders: needs.has("headers") || filter.header !== undefined,
    keepBody: needs.has("body"),
    silent: STAGES.filter(({ hook }) => isSilent(declared, hook)).map(({ code }) => code),
  };
}

/**
 * The agreement that a filter's session would come to, on a carrier without delayed acknowledgements and for frames of the
 * usual size; undefined if only the filter itself can tell, or the offer cannot be met.
 */
export function foretold(filter: Filter, offer: Options): Agreement | undefined {
  if (filter.negotiate !== undefined || offer.version < MIN_VERSION) return undefined;
  return agree(offer, wantsOf(filter, false), DATA_SIZE);
}

/** What bounds the edits of a mail. */
export function editRules(terms: Terms, mail: { readonly headers: HeaderList }): EditRules {
  return { ...terms.rules, headers: terms.keepHeaders ? mail.headers : undefined };
}

/** The edits behind the MTA's action flags. */
export function editsOffered(actions: number): EditName[] {
  return EDIT_NAMES.filter((name) => (actions & EDIT_FLAGS[name]) !== 0);
}
