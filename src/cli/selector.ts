/**
 * A condition of the configuration as a chain takes it: which mails concern a link.
 *
 * @module
 */
import type { MailFacts, Selector } from "../chain/selector.ts";
import { type Condition, conditionText, evaluate, macrosOf, needsOf } from "../conditions/mod.ts";

/** The selector of a condition. It is true of a mail if it is so of one of its recipients. */
export function selectorOf(condition: Condition): Selector {
  return {
    needs: new Set(needsOf(condition)),
    // Also those that an MTA sends unasked: a list of its own must not lose them.
    macros: [...new Set(Object.values(macrosOf(condition)).flat())],
    text: conditionText(condition),
    evaluate: (facts) => evaluate(condition, new KnownFacts(facts)),
  };
}

/** What the evaluation asks of a mail, by whoever remembers nothing: the header is put together only if it is looked at. */
class KnownFacts {
  readonly known = new Map<Condition, boolean>();
  readonly #facts: MailFacts;

  constructor(facts: MailFacts) {
    this.#facts = facts;
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
