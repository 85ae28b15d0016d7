/**
 * Stand-in for `@std/testing/mock` on sites that reach npm but not JSR: spies on functions and methods, and
 * `assertSpyCalls`. A spy records what went through the real thing; write a plain function where the real
 * thing has to be replaced.
 *
 * @module
 */

/** One recorded call. */
export interface SpyCall<Args extends unknown[], Return> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: unknown;
}

/** A function that records its calls and passes them on. */
export interface Spy<Args extends unknown[], Return> {
  (...args: Args): Return;
  calls: SpyCall<Args, Return>[];
}

/** A spy in the place of a method; `restore` puts the method back. */
export interface MethodSpy<Args extends unknown[], Return> extends Spy<Args, Return>, Disposable {
  restored: boolean;
  restore(): void;
}

function record<Args extends unknown[], Return>(original: (...args: Args) => Return): Spy<Args, Return> {
  const calls: SpyCall<Args, Return>[] = [];
  return Object.assign(function (this: unknown, ...args: Args): Return {
    const call: SpyCall<Args, Return> = this ? { args, self: this } : { args };
    try {
      return call.returned = original.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    } finally {
      calls.push(call);
    }
  }, { calls });
}

/** Wraps a function, or a method in place. Without an argument: a function that does nothing. */
export function spy(): Spy<unknown[], undefined>;
export function spy<Args extends unknown[], Return>(original: (...args: Args) => Return): Spy<Args, Return>;
export function spy<T extends object, K extends keyof T>(
  self: T,
  method: K,
): T[K] extends (...args: infer Args extends unknown[]) => infer Return ? MethodSpy<Args, Return> : never;
export function spy(target: unknown = () => undefined, method?: PropertyKey): unknown {
  if (method === undefined) return record(target as (...args: unknown[]) => unknown);
  const object = target as Record<PropertyKey, unknown>;
  const original = object[method] as (...args: unknown[]) => unknown;
  const own = Object.getOwnPropertyDescriptor(object, method);
  const methodSpy = Object.assign(record(original), {
    restored: false,
    restore() {
      if (own) Object.defineProperty(object, method, own);
      else delete object[method];
      methodSpy.restored = true;
    },
    [Symbol.dispose]() {
      if (!methodSpy.restored) methodSpy.restore();
    },
  });
  Object.defineProperty(object, method, { value: methodSpy, configurable: true, writable: true });
  return methodSpy;
}

/** Throws unless the spy was called exactly so many times. */
export function assertSpyCalls(spy: { readonly calls: readonly unknown[] }, expectedCalls: number): void {
  if (spy.calls.length === expectedCalls) return;
  throw new Error(`The spy was called ${spy.calls.length} times, expected ${expectedCalls}`);
}
