/**
 * Building blocks of the option schema, with messages that quote the value.
 *
 * @module
 */
import { z } from "zod";

/** A header field name (RFC 5322 section 2.2): printable ASCII without the colon. */
const FIELD_NAME = /^[!-9;-~]{1,76}$/;

/** A value in a message: short and on one line. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null && !(value instanceof Date)) return "a map";
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** The message for a value of a wrong kind. */
export function expected(what: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: ({ input }) => `${describe(input)}, expected ${what}` };
}

function describe(input: unknown): string {
  if (input === undefined) return "is missing";
  return input === null ? "is empty" : `is ${show(input)}`;
}

/** As {@linkcode expected}, for a text. */
function expectedText(what: string): { error: (issue: { readonly input?: unknown }) => string } {
  return {
    error: ({ input }) => {
      // YAML reads 1, 1.5, yes and dates as something else.
      const scalar = typeof input === "number" || typeof input === "boolean" || input instanceof Date;
      return `${describe(input)}, expected ${what}${scalar ? " in quotes" : ""}`;
    },
  };
}

/** A text that `parse` turns into a value; what `parse` throws becomes the message, after the quoted text. */
export function parsed<T>(what: string, parse: (text: string) => T) {
  return z.string(expectedText(what)).transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      context.addIssue({ code: "custom", message: `${show(text)} ${error.message}`, input: text });
      return z.NEVER;
    }
  });
}

/** One value or a list of them; gives a list. */
export function oneOrMany<T extends z.ZodType>(item: T, what: string) {
  return z.preprocess(
    (value) => Array.isArray(value) ? value : [value],
    z.array(item).min(1, `is an empty list, expected ${what}`),
  );
}

/** The name of a header field. */
export const fieldName = parsed('a header field name, such as "Subject"', (name) => {
  if (FIELD_NAME.test(name)) return name;
  throw new TypeError(
    "is not a header field name: expected 1 to 76 printable ASCII characters without the colon",
  );
});

/** A map with exactly these keys; others get a message that lists these. */
export function map<T extends z.ZodRawShape>(shape: T, what: string) {
  const keys = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys") return expected(`${what} with the keys ${keys}`).error(issue);
      return `expected only ${keys}`;
    },
  });
}
