/**
 * What is known of one SMTP connection, as contexts show it.
 *
 * @module
 */
import type { Client, Log } from "../filter/mod.ts";
import { MacroStore } from "../protocol/mod.ts";
import type { ConnectionState } from "./contexts.ts";

/** Mutable state of one SMTP connection. */
export class ConnectionView implements ConnectionState {
  client: Client | undefined;
  helo: string | undefined;
  readonly macros: MacroStore = new MacroStore();
  readonly log: Log;
  /** The hooks' own values for this connection. */
  locals: Record<string, unknown> = {};
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(log: Log) {
    this.log = log;
  }

  /** Aborted when the connection is over. Made when first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** Aborts the signal. */
  abort(): void {
    this.#aborted = true;
    this.#controller?.abort(new DOMException("the MTA closed the connection", "AbortError"));
  }

  /** Aborts the signal of the hook that is late; those that follow get a fresh one. */
  timeOut(reason: string): void {
    this.#controller?.abort(new DOMException(reason, "AbortError"));
    this.#controller = undefined;
  }

  /** A new SMTP connection on the same socket (SMFIC_QUIT_NC). */
  renew(): void {
    this.abort();
    this.#aborted = false;
    this.#controller = undefined;
    this.client = this.helo = undefined;
    this.locals = {};
    this.macros.clear();
  }
}
