/**
 * Reads of many sockets that take turns.
 *
 * Deno's event loop completes at most 128 reads a round (tokio's budget for a task); those for which there was nothing left
 * come last in the next round, behind all that are new. So as soon as 128 connections always have something to read, all
 * others wait, for seconds under load. Here the reads of busy connections are held back, first in, first out, until
 * fewer than that are in a round.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** Up to so many connections the loop is fair by itself. */
const FEW = 100;
/** Reads in a round from which on more are held back, and below which fewer are. */
const MOST = 112;
const LEAST = 64;
/** How many more are held back at a time. */
const STEP = 48;
/** Time without any read after which all are let go, ms. */
const PATIENCE = 2;

interface Held {
  readonly socket: Deno.Conn;
  readonly into: Uint8Array;
  readonly go: (read: Promise<number | null>) => void;
}

/** The reads of all sockets of this thread. */
export class FairReads {
  /** Sockets that are open. */
  open = 0;
  /** Reads since the last round. */
  #count = 0;
  #inRound = false;
  /** How many are to wait. */
  #hold = 0;
  #held: (Held | undefined)[] = [];
  /** Index of the one that waits longest. */
  #next = 0;
  #timer = false;
  #since = 0;

  /** Reads from a socket, when it is its turn. */
  read(socket: Deno.Conn, into: Uint8Array): Promise<number | null> {
    if (this.open <= FEW && this.#hold === 0) return socket.read(into);
    this.#count++;
    this.#since++;
    if (!this.#inRound) {
      this.#inRound = true;
      setImmediate(() => this.#endRound());
    }
    if (this.#hold === 0) return socket.read(into);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.#held.push({ socket, into, go: resolve });
    this.#release();
    return promise;
  }

  get #waiting(): number {
    return this.#held.length - this.#next;
  }

  #endRound(): void {
    this.#inRound = false;
    if (this.#count >= MOST) this.#hold = this.#waiting + STEP;
    else if (this.#count < LEAST) this.#hold = Math.max(0, this.#hold - (LEAST - this.#count));
    this.#count = 0;
    this.#release();
  }

  /** Lets those go that have waited longest, as long as there are more than are to wait. */
  #release(): void {
    while (this.#waiting > this.#hold) {
      const { socket, into, go } = this.#held[this.#next]!;
      this.#held[this.#next++] = undefined;
      go(socket.read(into));
    }
    if (this.#next > 256) {
      this.#held.splice(0, this.#next);
      this.#next = 0;
    }
    if (this.#waiting > 0 && !this.#timer) {
      this.#timer = true;
      this.#since = 0;
      setTimeout(() => this.#late(), PATIENCE);
    }
  }

  /** Rounds come only as long as something is read. */
  #late(): void {
    this.#timer = false;
    if (this.#since === 0) this.#hold = 0;
    this.#release();
  }
}
