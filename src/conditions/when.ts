/**
 * The schema of `when`: from what stands in the YAML to a condition.
 *
 * @module
 */
import { z } from "zod";
import { show } from "../text/show.ts";
import { parseSize } from "../text/units.ts";
import type { Condition } from "./condition.ts";
import { expected, fieldName, map, oneOrMany, parsed } from "./fields.ts";
import { RECIPIENT_MACROS } from "./macros.ts";
import { networkSet, parseNetwork } from "./networks.ts";
import { parsePattern, type Pattern } from "./patterns.ts";

/** The most conditions inside one another. */
const MAX_DEPTH = 32;
/** The most conditions in one `when`. */
const MAX_CONDITIONS = 10_000;
/** The longest name of a macro, without braces. */
const MAX_MACRO_NAME = 64;

const networks = oneOrMany(parsed("an IP address or network", parseNetwork), "at least one network");
const names = patterns((text) => parsePattern(text, true));
const addresses = patterns((text) => {
  if (text === "<>") return { source: text, matches: (address) => address === "" };
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
    const bytes = parseSize(typeof value === "number" ? `${value}B` : value);
    if (bytes !== undefined) return bytes;
    context.addIssue({
      code: "custom",
      message: `is ${show(value)}, expected a number of bytes or a size such as "512KiB" or "10MiB"`,
      input: value,
    });
    return z.NEVER;
  },
);

const headers = patternsByName(fieldName, "a map from field name to pattern");
const macroName = parsed('a name in braces such as "{auth_type}"', (name) => {
  const bare = bareName(name);
  if (RECIPIENT_MACROS.includes(bare)) {
    throw new TypeError("is another one for each recipient; use recipient or recipient_domain");
  }
  // As MTAs take it in a list of names.
  if (bare.length <= MAX_MACRO_NAME && /^[!-+\--z]+$/.test(bare)) return name;
  throw new TypeError(
    'is not the name of a macro: expected one letter, or a name in braces such as "{auth_type}"',
  );
});
const macros = patternsByName(macroName, "a map from macro name to pattern");
const flag = z.boolean(expected("true or false"));

/** Conditions inside conditions; an editor finds it in the JSON Schema by this name. */
const condition: z.ZodType<Condition> = z.lazy(() => {
  const many = z.array(condition, expected("a list of conditions")).min(
    1,
    "is an empty list, expected a condition",
  );
  const shape = {
    client: networks.optional().describe("The client's address is this one, or in this network."),
    client_host: names.optional().describe(
      "The client's verified name matches; a client without one is called by its address in brackets.",
    ),
    daemon: names.optional().describe("The name of the mail server's daemon matches: macro {daemon_name}."),
    helo: names.optional().describe("The name in HELO matches; without HELO it is empty."),
    tls: flag.optional().describe("The client talks TLS: macro {tls_version}."),
    authenticated: flag.optional().describe("The client has logged in: macro {auth_authen}."),
    sender: addresses.optional().describe('The envelope sender matches; "<>" is the null sender.'),
    sender_domain: domains.optional().describe("The domain of the envelope sender matches."),
    recipient: addresses.optional().describe("An envelope recipient matches."),
    recipient_domain: domains.optional().describe("The domain of an envelope recipient matches."),
    macro: macros.optional().describe(
      'Macros of the mail server have values that match, for example { "{auth_type}": PLAIN }; one that is not set ' +
        "does not match.",
    ),
    header: headers.optional().describe('Header fields match, for example { Subject: "*money*" }.'),
    header_missing: oneOrMany(fieldName, "at least one header field name").optional().describe(
      "There is no header field of that name.",
    ),
    size: map({
      over: size.optional().describe("More bytes than this: a number, or a size such as 10MiB."),
      under: size.optional().describe("Fewer bytes than this."),
    }, "a map")
      .refine((value) => Object.keys(value).length > 0, {
        error: "is empty, expected over, under or both",
        // An unknown key is told already.
        when: ({ issues }) => issues.length === 0,
      })
      .optional().describe("Header and body together have more bytes, or fewer."),
    all: many.optional().describe("All of these hold."),
    any: many.optional().describe("One of these holds, or more."),
    not: condition.optional().describe("This does not hold."),
  };
  return map(shape, "a map").transform((value, context): Condition => {
    const of: Condition[] = [];
    const is = (said: boolean, kind: "tls" | "authenticated"): Condition =>
      said ? { kind } : { kind: "not", of: { kind } };
    if (value.client) of.push({ kind: "client", networks: networkSet(value.client) });
    if (value.client_host) of.push({ kind: "clientHost", patterns: value.client_host });
    if (value.daemon) of.push({ kind: "daemon", patterns: value.daemon });
    if (value.helo) of.push({ kind: "helo", patterns: value.helo });
    if (value.tls !== undefined) of.push(is(value.tls, "tls"));
    if (value.authenticated !== undefined) of.push(is(value.authenticated, "authenticated"));
    if (value.sender) of.push({ kind: "sender", part: "address", patterns: value.sender });
    if (value.sender_domain) of.push({ kind: "sender", part: "domain", patterns: value.sender_domain });
    if (value.recipient) of.push({ kind: "recipient", part: "address", patterns: value.recipient });
    if (value.recipient_domain) {
      of.push({ kind: "recipient", part: "domain", patterns: value.recipient_domain });
    }
    for (const [name, patterns] of Object.entries(value.macro ?? {})) {
      of.push({ kind: "macro", name: bareName(name), patterns });
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
}).meta({ id: "when" });

/** Schema of a `when`. */
export const when = z.preprocess((value, context) => {
  const problem = tooMuch(value);
  if (problem === undefined) return value;
  context.addIssue({ code: "custom", message: problem, input: value });
  return z.NEVER;
}, condition);

/** Is it nested or repeated beyond measure? YAML can do so in a few lines, by references to what came before. */
function tooMuch(value: unknown): string | undefined {
  let left = MAX_CONDITIONS;
  const walk = (value: unknown, depth: number): string | undefined => {
    if (depth > MAX_DEPTH) return `is nested more than ${MAX_DEPTH} levels deep`;
    if (left-- === 0) return `has more than ${MAX_CONDITIONS} conditions`;
    if (typeof value !== "object" || value === null) return undefined;
    for (const key of ["all", "any", "not"]) {
      const inner: unknown = Reflect.get(value, key);
      for (const each of Array.isArray(inner) ? inner : [inner]) {
        const problem = each === undefined ? undefined : walk(each, depth + 1);
        if (problem !== undefined) return problem;
      }
    }
    return undefined;
  };
  return walk(value, 1);
}

/** A map from names of one kind to patterns. */
function patternsByName(name: typeof fieldName, what: string) {
  return z.record(name, patterns((text) => parsePattern(text, false)), {
    error: (issue) => issue.code === "invalid_key" ? issue.issues[0]?.message : expected(what).error(issue),
  }).refine((byName) => Object.keys(byName).length > 0, `is empty, expected ${what}`);
}

function bareName(macro: string): string {
  return /^\{(.*)\}$/s.exec(macro)?.[1] ?? macro;
}

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
