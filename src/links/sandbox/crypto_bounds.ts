/**
 * Inside the sandbox: bounds on what `crypto.subtle` works at in threads that Deno cannot halt.
 *
 * Such a thread outlives the filter that asked for it. So each job is bounded, and few are under way at a time; the
 * rest waits in the filter's own isolate, and ends with it.
 *
 * @module
 */

/** Jobs under way at a time. */
const JOBS = 4;
/** Rounds of PBKDF2: more than OWASP asks for (2023: 1,300,000 for SHA-1), about a second. */
const MAX_ROUNDS = 2_000_000;
/** Bits that a derivation gives; each hash's length of them costs all the rounds. */
const MAX_DERIVED = 1024;
/** Bits of a new RSA key; the time grows with about the fourth power. */
const MAX_MODULUS = 4096;

const METHODS = [
  "digest",
  "encrypt",
  "decrypt",
  "sign",
  "verify",
  "deriveBits",
  "deriveKey",
  "generateKey",
  "importKey",
  "exportKey",
  "wrapKey",
  "unwrapKey",
] as const;

type Method = typeof METHODS[number];
type Work = (...args: unknown[]) => Promise<unknown>;

// Captured before a filter can replace them.
const { apply } = Reflect;
const { then } = Promise.prototype;
const Bound = RangeError;
const Later = Promise;

/** Replaces the methods of `crypto.subtle` with bounded ones, for good. */
export function boundCrypto(): void {
  const subtle = SubtleCrypto.prototype as unknown as Record<string, Work>;
  const turn = turnstile(JOBS);
  for (const method of METHODS) {
    const work = subtle[method];
    if (typeof work !== "function") continue;
    Object.defineProperty(subtle, method, {
      value(this: unknown, ...args: unknown[]): Promise<unknown> {
        return turn(() => apply(work, this, check(method, args)) as Promise<unknown>);
      },
      writable: false,
      configurable: false,
      enumerable: true,
    });
  }
}

/** Runs at most `most` jobs at a time, in order. */
export function turnstile(most: number): (job: () => Promise<unknown>) => Promise<unknown> {
  let first: Waiting | undefined;
  let last: Waiting | undefined;
  let running = 0;
  const next = (): void => {
    while (running < most && first !== undefined) {
      const { start } = first;
      first = first.next;
      running++;
      start();
    }
  };
  const done = (): void => {
    running--;
    next();
  };
  return (job) =>
    new Later((resolve, reject) => {
      const start = (): void => {
        try {
          const result = job();
          apply(then, result, [done, done]);
          resolve(result);
        } catch (error) {
          done();
          reject(error);
        }
      };
      const waiting: Waiting = { start, next: undefined };
      if (first === undefined) first = waiting;
      else last!.next = waiting;
      last = waiting;
      next();
    });
}

interface Waiting {
  readonly start: () => void;
  next: Waiting | undefined;
}

/** The arguments with the algorithm copied, so that what is checked is what is used. @throws {RangeError} over a bound. */
function check(method: Method, args: unknown[]): unknown[] {
  switch (method) {
    case "deriveBits": {
      const algorithm = copyOf(args[0]);
      const bits = args[2] === undefined || args[2] === null ? args[2] : Number(args[2]);
      bound("rounds", algorithm, "iterations", MAX_ROUNDS);
      if (typeof bits === "number") over("derived bits", bits, MAX_DERIVED);
      return [algorithm, args[1], bits];
    }
    case "deriveKey": {
      const algorithm = copyOf(args[0]);
      const derived = copyOf(args[2]);
      bound("rounds", algorithm, "iterations", MAX_ROUNDS);
      bound("derived bits", derived, "length", MAX_DERIVED);
      return [algorithm, args[1], derived, args[3], args[4]];
    }
    case "generateKey": {
      const algorithm = copyOf(args[0]);
      bound("modulus bits", algorithm, "modulusLength", MAX_MODULUS);
      return [algorithm, args[1], args[2]];
    }
    default:
      return args;
  }
}

function copyOf(algorithm: unknown): unknown {
  return typeof algorithm === "object" && algorithm !== null ? { __proto__: null, ...algorithm } : algorithm;
}

function bound(what: string, algorithm: unknown, field: string, most: number): void {
  if (typeof algorithm !== "object" || algorithm === null) return;
  const values = algorithm as Record<string, unknown>;
  if (values[field] === undefined) return;
  // Its value now is its value for Deno: a second look at an object could give another number.
  values[field] = Number(values[field]);
  over(what, values[field] as number, most);
}

function over(what: string, value: number, most: number): void {
  // Not `value > most`: NaN is over it as well.
  if (!(value <= most)) {
    throw new Bound(
      `Cannot start the cryptographic job: ${value} ${what} are asked for, a filter gets at most ${most}`,
    );
  }
}
