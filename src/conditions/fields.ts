/**
 * Building blocks of the schema, with messages that quote the value; also for what stands beside conditions.
 *
 * @module
 */
import { z } from "zod";
import { printable, show } from "../text/show.ts";

/** A header field name (RFC 5322 section 2.2): printable ASCII without the colon. */
const FIELD_NAME = /^[!-9;-~]{1,76}$/;
/** The most characters of what a message says after the value. */
const MAX_MESSAGE = 500;

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
      const message = `${show(text)} ${printable(error.message, MAX_MESSAGE)}`;
      context.addIssue({ code: "custom", message, input: text });
      return z.NEVER;
    }
  });
}

/** One value or a list of them; gives a list. Mistakes have numbers only in a list that was written as one. */
export function oneOrMany<T extends z.ZodType>(item: T, what: string) {
  const list = z.array(item).min(1, `is an empty list, expected ${what}`);
  return z.unknown().transform((value, context): z.output<T>[] => {
    const written = Array.isArray(value);
    const { data, error } = list.safeParse(written ? value : [value]);
    if (error === undefined) return data;
    for (const { path, ...issue } of error.issues) {
      const raw = { ...issue, path: written ? path : path.slice(1), input: value };
      context.issues.push(raw as z.core.$ZodRawIssue);
    }
    return z.NEVER;
  }).meta({
    // Worked out only for who wants the JSON Schema: a filter that starts does not.
    get anyOf() {
      const { $schema: _, ...one } = z.toJSONSchema(item, { io: "input" });
      return [one, { type: "array", items: one, minItems: 1 }];
    },
  });
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
