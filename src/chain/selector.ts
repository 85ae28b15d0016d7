/**
 * Which mails concern a link: asked as early as the facts allow, and answered once.
 *
 * @module
 */
import type { Client, EnvelopeAddress, HeaderList, Macros, Need } from "../filter/mod.ts";

/** How far a mail has come; what the MTA sends up to there is known. */
export type FactStage =
  | "connect"
  | "helo"
  | "mail"
  | "rcpt"
  | "data"
  | "endOfHeaders"
  | "body"
  | "endOfMessage";

/** What is known of a mail, as the links before have left it. */
export interface MailFacts {
  readonly stage: FactStage;
  readonly client: Client | undefined;
  readonly helo: string | undefined;
  readonly sender: EnvelopeAddress | undefined;
  /** All that were accepted so far; complete from `data` on. */
  readonly recipients: readonly EnvelopeAddress[];
  /** Complete from `endOfHeaders` on. */
  readonly headers: HeaderList;
  /** Bytes of header and body that came, or as many as the client announced; exact at `endOfMessage`. */
  readonly size: number;
  readonly macros: Macros;
}

/** A condition, read and checked by whoever configures the chain. */
export interface Selector {
  /** What it reads, so that the MTA is asked for it. */
  readonly needs: ReadonlySet<Need>;
  /** Macros it reads that the MTA may have to be asked for, as on the wire. */
  readonly macros: readonly string[];
  /** In words, for reports. */
  readonly text: string;
  /** Undefined while the facts do not decide it; an answer must not change as they grow. */
  evaluate(facts: MailFacts): boolean | undefined;
}
