/**
 * The one hook that a session may be waiting for, and its answer that may come too late.
 *
 * @module
 */

/** What a hook may have returned: `value.then` exists. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}

/** What goes on once a hook has answered; it may wait for another one. */
export type Next = () => Promise<void> | undefined;

/** Keeps at most one pending hook; a deadline can let it go. */
export class PendingHook {
  #promise: Promise<void> | undefined;
  #code = 0;
  #turn = 0;
  /** What waits behind a hook whose answer is not asked for. */
  #next: Next | undefined;

  /** Command byte of the stage that is waited for; 0 when nothing is. */
  get code(): number {
    return this.#promise === undefined ? 0 : this.#code;
  }

  /** The promise that is waited for. */
  get promise(): Promise<void> | undefined {
    return this.#promise;
  }

  /** Starts a new turn: an answer of an earlier one comes too late from now on. */
  newTurn(): number {
    return ++this.#turn;
  }

  /** Is this still the turn? */
  isCurrent(turn: number): boolean {
    return turn === this.#turn;
  }

  get turn(): number {
    return this.#turn;
  }

  /** Waits for work at the stage of `code`. */
  wait(code: number, work: Promise<void | undefined>): Promise<void> {
    this.#code = code;
    const done = (): void => {
      if (this.#promise === promise) this.#promise = undefined;
    };
    const promise: Promise<void> = work.then(done, (error) => {
      done();
      throw error;
    });
    this.#promise = promise;
    return promise;
  }

  /** Waits for `work`, then goes on with `next`, once; a deadline that passes meanwhile goes on with it earlier. */
  waitThen(code: number, work: Promise<void>, next: Next): Promise<void> {
    let gone = false;
    const once: Next = () => {
      if (gone) return undefined;
      gone = true;
      this.#next = undefined;
      return next();
    };
    this.#next = once;
    return this.wait(code, work.then(once));
  }

  /** Lets the pending hook go; what waited behind it, if anything, is the caller's to run. */
  release(): Next | undefined {
    this.#promise = undefined;
    this.#turn++;
    const next = this.#next;
    this.#next = undefined;
    return next;
  }
}

/** Does this answer let the next step happen? */
export function goesOn(verdict: unknown): boolean {
  return verdict === undefined || (verdict as { kind?: unknown } | null)?.kind === "continue";
}

/**
 * Runs steps until one does not go on, and gives its answer; a promise only if one of them does.
 *
 * @param wanted False once nobody waits for the answer any more: then no further step begins.
 */
export function inTurn(steps: readonly (() => unknown)[], wanted: () => boolean): unknown {
  for (let i = 0; i < steps.length; i++) {
    const result = steps[i]();
    if (isThenable(result)) {
      const rest = steps.slice(i + 1);
      if (rest.length === 0) return result;
      return Promise.resolve(result).then((verdict) =>
        goesOn(verdict) && wanted() ? inTurn(rest, wanted) : verdict
      );
    }
    if (!goesOn(result)) return result;
  }
  return undefined;
}
