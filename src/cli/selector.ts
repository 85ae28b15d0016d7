/**
 * A condition of the configuration as a chain takes it: which mails concern a link.
 *
 * @module
 */
import type { MailFacts, Selector } from "../chain/selector.ts";
import { macroLists } from "../session/wants.ts";
import { type Condition, conditionText, evaluate, macrosToAsk, needsOf } from "../conditions/mod.ts";

/** The selector of a condition. It is true of a mail if it is so of one of its recipients. */
export function selectorOf(condition: Condition): Selector {
  return {
    needs: new Set(needsOf(condition)),
    macros: macroLists(macrosToAsk(condition)),
    text: conditionText(condition),
    begin() {
      const known = new Map<Condition, boolean>();
      // What holds before MAIL may yet change: another HELO, STARTTLS.
      const memory = (stage: string) => stage === "connect" || stage === "helo" ? new Map() : known;
      return (facts) => evaluate(condition, new AskedFacts(facts, memory(facts.stage)));
    },
  };
}

/** What the evaluation asks of a mail; the header is put together only if it is looked at. */
class AskedFacts {
  readonly known: Map<Condition, boolean>;
  readonly #facts: MailFacts;

  constructor(facts: MailFacts, known: Map<Condition, boolean>) {
    this.#facts = facts;
    this.known = known;
  }
  get stage() {
    return this.#facts.stage;
  }
  get client() {
    return this.#facts.client;
  }
  get helo() {
    return this.#facts.helo;
  }
  get sender() {
    return this.#facts.sender;
  }
  get recipients() {
    return this.#facts.recipients;
  }
  /** After DATA no recipient comes any more. */
  get recipientsComplete() {
    return !["connect", "helo", "mail", "rcpt"].includes(this.#facts.stage);
  }
  get headers() {
    return this.#facts.headers;
  }
  get macros() {
    return this.#facts.macros;
  }
  get size() {
    return this.#facts.size;
  }
}
