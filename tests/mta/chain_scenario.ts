/**
 * A scenario of three filters: what they do, and what a client says. What must come of it is not written down: real MTAs
 * that ask the three one by one show it, and a chain of the three must give the same.
 */
import type { EditCall, FilterScript, ScriptHook } from "./chain_filter.ts";
import type { MtaKind } from "./mta.ts";
import { type PerMta, sample, textOf } from "./scenario.ts";

/** The names of the three filters, in order. */
export const NAMES = ["first", "second", "third"] as const;

/** One of the three. */
export type FilterName = (typeof NAMES)[number];

/** What the client does; replies are recorded, and a refusal ends nothing. */
export type ChainStep =
  /** A command line. */
  | string
  /** Command lines in one write, as a client does that knows PIPELINING. */
  | { readonly together: readonly string[] }
  /** DATA, and the message if the server wants it; every "\n" is sent as CRLF, unless `bare` lets it be. */
  | { readonly data: string; readonly bare?: true }
  /** The client goes away without a word. */
  | { readonly hangUp: true };

/** Where the chain must differ from separate filters, and why that is intended. */
export interface Difference {
  readonly why: string;
  /**
   * What each filter notes in a chain in place of lines that it notes without one; each such line must be there.
   * Applied on both MTAs.
   */
  readonly notes?: {
    readonly [Name in FilterName]?: readonly (readonly [alone: string, ...inChain: string[]])[];
  };
  /**
   * The MTA on which separate filters show what is intended: on the other one, where they do not, the chain must give
   * the same notes as they do here, and the same mails unless `mailsStay`.
   */
  readonly like?: MtaKind;
  readonly mailsStay?: true;
  /** Lines of the server that become others in a chain, on all MTAs but that of `like`. */
  readonly talk?: readonly (readonly [alone: string, inChain: string])[];
}

/** What happens. */
export interface ChainScenario {
  readonly name: string;
  readonly filters: readonly [FilterScript, FilterScript, FilterScript];
  /** The conversation. QUIT comes after it, if it leaves the connection open. */
  readonly steps: readonly ChainStep[];
  /** How many mails separate filters let be delivered, one for each recipient. */
  readonly delivers: PerMta<number>;
  /** How many mails they have held in the quarantine, one for each recipient. @default {0} */
  readonly holds?: PerMta<number>;
  /**
   * Filters of which not every act is reached, because another one decides before; of all others each act is done.
   * Said of separate filters. @default {[]}
   */
  readonly unreached?: PerMta<readonly FilterName[]>;
  readonly differs?: Difference;
}

/** A filter that answers at every stage, and sees header and body piece by piece. */
export function streaming(...edits: readonly EditCall[]): FilterScript {
  const hooks = [
    "connect",
    "helo",
    "mail",
    "rcpt",
    "data",
    "unknown",
    "header",
    "endOfHeaders",
    "body",
    "endOfMessage",
  ] as const;
  return editing(hooks, "endOfMessage", edits);
}

/** A filter that wants the whole mail, and is asked nothing before its end. */
export function whole(...edits: readonly EditCall[]): FilterScript {
  return editing(["message"], "message", edits);
}

/** A filter that wants the whole mail, and is asked about its sender and recipients. */
export function asked(...edits: readonly EditCall[]): FilterScript {
  return editing(["mail", "rcpt", "message"], "message", edits);
}

function editing(
  hooks: readonly ScriptHook[],
  at: "endOfMessage" | "message",
  edits: readonly EditCall[],
): FilterScript {
  return { hooks, acts: edits.length === 0 ? [] : [{ at, edits }] };
}

/** The usual mail with another subject, header fields besides, and another body. */
export function message(
  subject: string = "test",
  more: readonly (readonly [string, string])[] = [],
  body: string = sample.body,
): string {
  const fields = sample.fields.map(([name, value]) => [name, name === "Subject" ? subject : value] as const);
  return textOf([...fields, ...more], body);
}

/** First words, and one mail to one recipient. */
export function oneMail(text: string = message()): ChainStep[] {
  return ["EHLO client.lab.example", "MAIL FROM:<a@client.example>", "RCPT TO:<one@lab.example>", {
    data: text,
  }];
}

/** A mail to two recipients in a connection that has begun. */
export function twoRecipients(text: string = message()): ChainStep[] {
  return [
    "MAIL FROM:<a@client.example>",
    "RCPT TO:<one@lab.example>",
    "RCPT TO:<two@lab.example>",
    { data: text },
  ];
}
