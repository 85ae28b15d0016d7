/**
 * Inside the sandbox: tells when Deno refuses the filter something, before the filter gets the error.
 *
 * Deno refuses whether or not anybody listens; this is for the administrator who wonders why a filter does not work,
 * or what it is up to.
 *
 * @module
 */

/** Told the right and what it was for: `"net"`, `"198.51.100.7:25"`. */
export type Refused = (right: string, value: string) => void;

type Function = (...args: unknown[]) => unknown;

// Captured before a filter can replace them.
const { apply } = Reflect;
const { NotCapable } = Deno.errors;
const then = Promise.prototype.then;

/** What an error says was refused; undefined if it is of another kind. */
export function readRefusal(error: unknown): { readonly right: string; readonly value: string } | undefined {
  if (!(error instanceof NotCapable)) return undefined;
  const parts = /^Requires (\w+) access(?: to (?:"([^"]*)"|(\S+)))?/.exec(error.message);
  return parts === null
    ? { right: "unknown", value: error.message.slice(0, 200) }
    : { right: parts[1], value: parts[2] ?? parts[3]?.replace(/,$/, "") ?? "" };
}

/** The same function; its refusals, now or later, are told. */
export function telling(run: Function, refused: Refused): Function {
  const look = (error: unknown): never => {
    const found = readRefusal(error);
    if (found !== undefined) refused(found.right, found.value);
    throw error;
  };
  return (...args) => {
    let result: unknown;
    try {
      result = apply(run, undefined, args);
    } catch (error) {
      return look(error);
    }
    if (result instanceof Promise) return apply(then, result, [undefined, look]);
    if (isIterable(result)) return iterating(result, look);
    return result;
  };
}

/** The same class; refusals of its constructor are told. */
export function tellingClass(made: object, refused: Refused): object {
  return new Proxy(made, {
    construct(target, args, newTarget) {
      try {
        return Reflect.construct(target as new () => object, args, newTarget);
      } catch (error) {
        const found = readRefusal(error);
        if (found !== undefined) refused(found.right, found.value);
        throw error;
      }
    },
  });
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value &&
    !(value instanceof ReadableStream);
}

/** `Deno.readDir` asks for its right when the first entry is wanted. */
function iterating(entries: AsyncIterable<unknown>, look: (error: unknown) => never): AsyncIterable<unknown> {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        yield* entries;
      } catch (error) {
        look(error);
      }
    },
  };
}
