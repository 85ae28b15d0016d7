/**
 * The contexts that hooks get: views on one connection and its mail, with the verdicts that are legal at the stage.
 *
 * Verdict and edit functions need no `this`, so a hook can take them apart: `header(field, { reject })`.
 *
 * @module
 */
import type {
  BodyContext,
  Client,
  ConnectionContext,
  Edits,
  EndOfMessageContext,
  EnvelopeAddress,
  HeaderList,
  Log,
  Macros,
  StageContext,
  TransactionContext,
  TransactionInfo,
  UnknownContext,
} from "../filter/mod.ts";
import { accept, discard, proceed, reject, skip, tempfail } from "../filter/mod.ts";
import type { Transaction } from "./transaction.ts";

/** What contexts read of the connection. */
export interface ConnectionState {
  readonly client: Client | undefined;
  readonly helo: string | undefined;
  readonly macros: Macros;
  readonly locals: Record<string, unknown>;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** The context of close, and what all others have in common. */
export class BaseCtx implements StageContext {
  readonly #state: ConnectionState;

  constructor(state: ConnectionState) {
    this.#state = state;
  }
  get client(): Client | undefined {
    return this.#state.client;
  }
  get helo(): string | undefined {
    return this.#state.helo;
  }
  get macros(): Macros {
    return this.#state.macros;
  }
  get queueId(): string | undefined {
    return this.#state.macros.get("i");
  }
  get connection(): Record<string, unknown> {
    return this.#state.locals;
  }
  get signal(): AbortSignal {
    return this.#state.signal;
  }
  get log(): Log {
    return this.#state.log;
  }
}

/** The context of an unknown command. */
export class UnknownCtx extends BaseCtx implements UnknownContext {
  readonly continue = proceed;
  readonly reject = reject;
  readonly tempfail = tempfail;
}

/** The context of connect and helo. */
export class ConnectionCtx extends UnknownCtx implements ConnectionContext {
  readonly accept = accept;
}

/** The context of abort. */
export class MailCtx extends BaseCtx implements TransactionInfo {
  readonly #transaction: Transaction;

  constructor(state: ConnectionState, transaction: Transaction) {
    super(state);
    this.#transaction = transaction;
  }
  get sender(): EnvelopeAddress | undefined {
    return this.#transaction.sender;
  }
  get recipients(): readonly EnvelopeAddress[] {
    return this.#transaction.recipients;
  }
  get headers(): HeaderList {
    return this.#transaction.headers;
  }
  get transaction(): Record<string, unknown> {
    return this.#transaction.locals;
  }
  override get signal(): AbortSignal {
    return this.#transaction.signal;
  }
}

/** The context of mail, rcpt, data, header and endOfHeaders. */
export class TransactionCtx extends MailCtx implements TransactionContext {
  readonly continue = proceed;
  readonly accept = accept;
  readonly reject = reject;
  readonly tempfail = tempfail;
  readonly discard = discard;
}

/** The context of body. */
export class BodyCtx extends TransactionCtx implements BodyContext {
  readonly skip = skip;
}

/** The context of endOfMessage and message. */
export function endOfMessageCtx(
  state: ConnectionState,
  mail: Transaction,
  edits: Edits,
): EndOfMessageContext {
  return Object.assign(new TransactionCtx(state, mail), edits);
}
