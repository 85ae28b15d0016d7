/**
 * Words for what was thrown. That may be anything: a proxy, an object without a prototype, an error whose properties
 * throw when they are read.
 *
 * @module
 */

/** The most characters that are given. */
const LIMIT = 1000;

/** What was thrown, an error with its name: `TypeError: x is not a function`. Never throws; at most 1000 characters. */
export function thrownText(thrown: unknown): string {
  return guarded(
    thrown,
    () => thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown),
  );
}

/** The same, of an error only the message, for errors that are sentences. Never throws; at most 1000 characters. */
export function thrownMessage(thrown: unknown): string {
  return guarded(thrown, () => String(thrown instanceof Error ? thrown.message : thrown));
}

/** `thrown instanceof type`, false for what does not let itself be asked (a proxy). Never throws. */
export function isThrown<T>(thrown: unknown, type: abstract new (...args: never[]) => T): thrown is T {
  try {
    return thrown instanceof type;
  } catch {
    return false;
  }
}

function guarded(thrown: unknown, words: () => string): string {
  try {
    const text = words();
    return text.length <= LIMIT ? text : `${text.slice(0, LIMIT - 1)}…`;
  } catch {
    return `a thrown ${typeof thrown} that cannot be put into words`;
  }
}
