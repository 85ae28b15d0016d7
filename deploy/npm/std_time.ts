/**
 * Stand-in for `@std/testing/time` on sites that reach npm but not JSR: `FakeTime` over @sinonjs/fake-timers.
 *
 * Faked are the same globals as in @std/testing: Date, setTimeout, setInterval, their clear functions and
 * `AbortSignal.timeout`. Not here: `restoreFor`, `delay` with a signal, `advanceRate`.
 *
 * @module
 */

import { install } from "@sinonjs/fake-timers";

const realSetTimeout = globalThis.setTimeout;
const realSignalTimeout = AbortSignal.timeout;
let active: FakeTime | undefined;

/** Time was faked twice, or restored twice. */
export class TimeError extends Error {
  override readonly name = "TimeError";
}

/** Replaces the clock and the timers until `restore()`, or until the end of the block after `using`. */
export class FakeTime implements Disposable {
  readonly #clock: ReturnType<typeof install>;
  /** The fake time at the start, in milliseconds since 1970. */
  readonly start: number;

  /**
   * @param start the time to begin with; now by default
   * @throws {TimeError} where time is faked already
   */
  constructor(start?: number | string | Date | null) {
    if (active) throw new TimeError("Cannot construct FakeTime: time is already faked");
    this.start = start === undefined || start === null ? Date.now() : new Date(start).valueOf();
    if (Number.isNaN(this.start)) {
      throw new TypeError(`Cannot construct FakeTime: the start time "${start}" is no date`);
    }
    this.#clock = install({
      now: this.start,
      toFake: ["Date", "setTimeout", "clearTimeout", "setInterval", "clearInterval"],
    });
    AbortSignal.timeout = (ms) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
      return controller.signal;
    };
    active = this;
  }

  /** The fake time in milliseconds since 1970; setting it runs the timers that fall due on the way. */
  get now(): number {
    return this.#clock.now;
  }
  set now(value: number) {
    if (value < this.now) {
      throw new RangeError(`Cannot set the fake time to ${value}: it is already ${this.now}`);
    }
    this.#clock.tick(value - this.now);
  }

  /** Moves time on by `ms` and runs the timers that fall due. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** Lets waiting promises go on, then does as `tick`. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.now += ms;
  }

  /** Moves time on to the next timer and runs it; false where there is none. */
  next(): boolean {
    if (this.#clock.countTimers() === 0) return false;
    this.#clock.next();
    return true;
  }

  /** Lets waiting promises go on, then does as `next`. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Runs timers until none is left. */
  runAll(): void {
    while (this.next());
  }

  /** Runs timers, and the promises between them, until none is left. */
  async runAllAsync(): Promise<void> {
    while (await this.nextAsync());
  }

  /** Waits in real time. */
  delay(ms: number): Promise<void> {
    return new Promise((resolve) => realSetTimeout(resolve, ms));
  }

  /** Lets waiting promises go on. */
  runMicrotasks(): Promise<void> {
    return this.delay(0);
  }

  /** Gives the real clock and timers back. */
  restore(): void {
    if (active !== this) throw new TimeError("Cannot restore time: time is already restored");
    active = undefined;
    AbortSignal.timeout = realSignalTimeout;
    this.#clock.uninstall();
  }

  /** Does as `restore`. */
  [Symbol.dispose](): void {
    this.restore();
  }
}
