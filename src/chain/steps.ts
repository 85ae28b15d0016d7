/**
 * Work in steps that waits only where it must: what answers at once is answered at once, in the same call.
 *
 * A generator says what is to be done; it yields only what has to be waited for. So the chain reads like the order of
 * its links, and costs no promise while the links answer synchronously.
 *
 * @module
 */

/** What work is waiting for. */
export interface Wait {
  readonly promise: Promise<unknown>;
  /** Time that it may take, ms; Infinity for what has no deadline. */
  readonly timeout: number;
  /** Time of the last sign that it is still being worked on, ms on the clock; a deadline counts from there. */
  readonly progress?: () => number;
  /** The time is over: lets it go. A promise if the answer in its place has to be waited for as well. */
  readonly late?: () => Promise<unknown> | undefined;
}

/** Work in steps. */
export type Steps<T = void> = Generator<Wait, T, void>;

/** Runs one piece of work at a time. */
export class Stepper {
  readonly #now: () => number;
  #steps: Steps | undefined;
  #wait: Wait | undefined;
  #since = 0;
  #done: PromiseWithResolvers<void> | undefined;

  /** @param now Clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** When what is waited for is late, ms on the clock. */
  get deadline(): number {
    const wait = this.#wait;
    if (wait === undefined) return Infinity;
    return Math.max(this.#since, wait.progress?.() ?? 0) + wait.timeout;
  }

  /** Works as far as it can; undefined if that is to the end. @throws whatever the steps throw until the first wait. */
  run(steps: Steps): Promise<void> | undefined {
    this.#steps = steps;
    this.#advance();
    return this.#rest();
  }

  /** Lets go what is waited for, and goes on. Returns as `run` does; does not throw, but may reject. */
  expire(): Promise<void> | undefined {
    const wait = this.#wait;
    if (wait?.late === undefined) return this.#rest();
    const more = wait.late();
    if (more !== undefined) this.#watch({ ...wait, promise: more });
    else this.#resume(wait);
    return this.#rest();
  }

  /** Forgets the work; what it waits for is no longer listened to. */
  drop(): void {
    this.#steps = undefined;
    this.#wait = undefined;
    this.#done?.resolve();
    this.#done = undefined;
  }

  #rest(): Promise<void> | undefined {
    if (this.#steps === undefined) return undefined;
    this.#done ??= Promise.withResolvers();
    return this.#done.promise;
  }

  #advance(error?: { readonly cause: unknown }): void {
    this.#wait = undefined;
    let next: IteratorResult<Wait, void>;
    try {
      next = error === undefined ? this.#steps!.next() : this.#steps!.throw(error.cause);
    } catch (thrown) {
      this.#steps = undefined;
      throw thrown;
    }
    if (next.done) this.#steps = undefined;
    else this.#watch(next.value);
  }

  #watch(wait: Wait): void {
    this.#wait = wait;
    this.#since = this.#now();
    wait.promise.then(() => this.#resume(wait), (cause) => this.#resume(wait, { cause }));
  }

  #resume(wait: Wait, error?: { readonly cause: unknown }): void {
    // What comes after its deadline, or after the end, comes too late.
    if (this.#wait !== wait) return;
    try {
      this.#advance(error);
    } catch (thrown) {
      const done = this.#done ?? Promise.withResolvers<void>();
      this.#done = undefined;
      done.reject(thrown);
      return;
    }
    if (this.#steps !== undefined) return;
    this.#done?.resolve();
    this.#done = undefined;
  }
}
