/**
 * A chain of one link: every frame goes straight through.
 *
 * @module
 */
import type { Frame, FrameWriter } from "../protocol/mod.ts";
import type { LinkSession } from "./link.ts";
import type { Session } from "./session.ts";

/** A link's session and the deadline of its calls. */
export class SoloSession implements Session {
  readonly #session: LinkSession;
  readonly #timeout: number;
  readonly #now: () => number;
  #since = 0;

  /** @param timeout Time for one call, ms. */
  constructor(session: LinkSession, timeout: number, now: () => number) {
    this.#session = session;
    this.#timeout = timeout;
    this.#now = now;
  }

  get mailOpen(): boolean {
    return this.#session.mailOpen;
  }

  get finished(): boolean {
    return this.#session.finished;
  }

  get awaitingEndOfMessage(): boolean {
    return this.#session.awaitingEndOfMessage;
  }

  get deadline(): number {
    return Math.max(this.#since, this.#session.progressed ?? 0) + this.#timeout;
  }

  receive(frame: Frame, out: FrameWriter): Promise<void> | undefined {
    return this.#timed(this.#session.receive(frame, out));
  }

  expire(out: FrameWriter): Promise<void> | undefined {
    return this.#timed(this.#session.expire(out, this.#timeout));
  }

  lost(): Promise<void> | undefined {
    return this.#timed(this.#session.lost());
  }

  #timed(work: Promise<void> | undefined): Promise<void> | undefined {
    if (work !== undefined) this.#since = this.#now();
    return work;
  }
}
