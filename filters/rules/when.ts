/**
 * The `when` of a rule: from options to a condition.
 *
 * @module
 */
import { z } from "zod";
import type { Condition } from "./conditions.ts";
import { expected, fieldName, map, oneOrMany, parsed, show } from "./fields.ts";
import { parseNetwork } from "./networks.ts";
import { parsePattern, type Pattern } from "./patterns.ts";

const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

const networks = oneOrMany(parsed("an IP address or network", parseNetwork), "at least one network");
const names = patterns((text) => parsePattern(text, true));
const addresses = patterns((text) => {
  if (text === "<>") return { matches: (address: string) => address === "" };
  // The one address that has no domain (RFC 5321 section 4.5.1).
  if (!/[@*]/.test(text) && !text.startsWith("/") && text.toLowerCase() !== "postmaster") {
    throw new TypeError(`has no "@"; for a whole domain use the key that ends in _domain`);
  }
  return parsePattern(text, true);
});
const domains = patterns((text) => {
  if (!text.startsWith("/") && text.includes("@")) {
    throw new TypeError(`has an "@", expected only the domain, such as "example.org" or "*.example.org"`);
  }
  return parsePattern(text, true);
});

const size = z.union([z.number(), z.string()], expected('a size such as "10MiB"')).transform(
  (value, context) => {
    const parts = /^(\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB)$/.exec(
      typeof value === "number" ? `${value}B` : value,
    );
    if (parts !== null) return Math.round(Number(parts[1]) * SIZE_UNITS[parts[2]]);
    context.addIssue({
      code: "custom",
      message: `is ${show(value)}, expected a number of bytes or a size such as "512KiB" or "10MiB"`,
      input: value,
    });
    return z.NEVER;
  },
);

const HEADER = "a map from field name to pattern";
const headers = z.record(fieldName, patterns((text) => parsePattern(text, false)), {
  error: (issue) => issue.code === "invalid_key" ? issue.issues[0]?.message : expected(HEADER).error(issue),
}).refine((fields) => Object.keys(fields).length > 0, `is empty, expected ${HEADER}`);

/** Schema of a `when`. */
export const when: z.ZodType<Condition> = z.lazy(() => {
  const many = z.array(when, expected("a list of conditions")).min(
    1,
    "is an empty list, expected a condition",
  );
  const shape = {
    client: networks.optional(),
    client_host: names.optional(),
    helo: names.optional(),
    sender: addresses.optional(),
    sender_domain: domains.optional(),
    recipient: addresses.optional(),
    recipient_domain: domains.optional(),
    header: headers.optional(),
    header_missing: oneOrMany(fieldName, "at least one header field name").optional(),
    size: map({ over: size.optional(), under: size.optional() }, "a map")
      .refine((value) => Object.keys(value).length > 0, "is empty, expected over, under or both")
      .optional(),
    all: many.optional(),
    any: many.optional(),
    not: when.optional(),
  };
  return map(shape, "a map").transform((value, context): Condition => {
    const of: Condition[] = [];
    if (value.client) of.push({ kind: "client", networks: value.client });
    if (value.client_host) of.push({ kind: "clientHost", patterns: value.client_host });
    if (value.helo) of.push({ kind: "helo", patterns: value.helo });
    if (value.sender) of.push({ kind: "sender", part: "address", patterns: value.sender });
    if (value.sender_domain) of.push({ kind: "sender", part: "domain", patterns: value.sender_domain });
    if (value.recipient) of.push({ kind: "recipient", part: "address", patterns: value.recipient });
    if (value.recipient_domain) {
      of.push({ kind: "recipient", part: "domain", patterns: value.recipient_domain });
    }
    for (const [name, patterns] of Object.entries(value.header ?? {})) {
      of.push({ kind: "header", name, patterns });
    }
    if (value.header_missing) of.push({ kind: "headerMissing", names: value.header_missing });
    if (value.size?.over !== undefined) of.push({ kind: "sizeOver", bytes: value.size.over });
    if (value.size?.under !== undefined) of.push({ kind: "sizeUnder", bytes: value.size.under });
    if (value.all) of.push(...value.all);
    if (value.any) of.push({ kind: "any", of: value.any });
    if (value.not) of.push({ kind: "not", of: value.not });
    // An unknown key is told already.
    if (of.length === 0 && context.issues.length === 0) {
      context.addIssue({
        code: "custom",
        message: "is empty, expected a condition; leave it out to match all mail",
      });
    }
    return of.length === 1 ? of[0] : { kind: "all", of };
  });
});

/** One pattern or several, of which one has to match. */
function patterns(parse: (text: string) => Pattern) {
  return oneOrMany(
    parsed("a pattern", (text) => {
      if (text === "") throw new TypeError('is an empty pattern; the null sender is "<>", any text is "*"');
      return parse(text);
    }),
    "at least one pattern",
  );
}
