/**
 * The options of the filter: a list of rules, checked once when the filter is loaded.
 *
 * @module
 */
import { z } from "zod";
import { ALWAYS, expected, fieldName, map, oneOrMany, parsed, when } from "../../src/conditions/mod.ts";
import { accept, discard, reject, tempfail } from "../../src/filter/mod.ts";
import type { Rule, RuleEdit } from "./rule.ts";

/** The most characters of a header value that a rule adds, and of a quarantine reason (RFC 5322 section 2.1.1). */
const MAX_VALUE = 900;
/** The most mistakes that one error tells. */
const MAX_TOLD = 20;

const line = parsed("a text", (text) => {
  if (text.trim() === "") throw new TypeError("is blank, expected a text");
  if (/\p{Cc}|\p{Cs}/u.test(text)) throw new TypeError("has a control character, expected one line of text");
  if (text.length > MAX_VALUE) throw new TypeError(`has over ${MAX_VALUE} characters`);
  return text;
});

/** `reject` and `tempfail`: true for the MTA's own reply, a text, or a map. */
function reply<V>(
  digit: 4 | 5,
  make: (enhanced?: string, text?: string | readonly string[], code?: number) => V,
) {
  const what = `true, a text, or a map with the keys code, enhanced, text`;
  const text = z.union([z.string(), z.array(z.string()).min(1)], expected("a text or a list of lines"));
  const fields = map({
    code: z.number(expected(`a number from ${digit}00 to ${digit}99`))
      .refine((code) => Number.isInteger(code) && Math.floor(code / 100) === digit, {
        error: ({ input }) =>
          `is ${input}, expected ${digit}00 to ${digit}99; for others use ${
            digit === 5 ? "tempfail" : "reject"
          }`,
      }).optional(),
    enhanced: parsed(`an enhanced status code such as "${digit}.7.1"`, (code) => {
      if (new RegExp(`^${digit}\\.\\d{1,3}\\.\\d{1,3}$`).test(code)) return code;
      throw new TypeError(`is not an enhanced status code of the form ${digit}.x.y (RFC 3463)`);
    }).optional(),
    text: text.optional(),
  }, "true, a text, or a map");
  return z.preprocess(
    (value) => value === true ? {} : typeof value === "string" ? { text: value } : value,
    z.custom((value) => typeof value === "object" && value !== null && !Array.isArray(value), expected(what))
      .pipe(fields),
  ).transform(({ code, enhanced, text }, context): V => {
    if (code === undefined && enhanced === undefined && text === undefined) return make();
    try {
      return make(enhanced ?? `${digit}.7.1`, text, code);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: "custom", message: error.message, path: ["text"] });
      return z.NEVER;
    }
  });
}

const flag = z.literal(true, expected("true; leave the key out otherwise"));

const PLACES = { end: undefined, top: 0, below_received: 1 } as const;
const field = map({
  name: fieldName,
  value: line,
  at: z.enum(["end", "top", "below_received"], expected('"end", "top" or "below_received"')).default("end"),
}, "a map").transform(({ name, value, at }): RuleEdit => {
  const index = PLACES[at];
  return index === undefined
    ? { kind: "addHeader", name, value }
    : { kind: "insertHeader", index, name, value };
});

const VERDICTS = ["reject", "tempfail", "discard", "accept"] as const;
const ACTIONS = [...VERDICTS, "quarantine", "add_header"] as const;

const rule = map({
  name: line.optional(),
  when: when.optional(),
  reject: reply(5, reject).optional(),
  tempfail: reply(4, tempfail).optional(),
  discard: flag.optional(),
  accept: flag.optional(),
  quarantine: line.optional(),
  add_header: oneOrMany(field, "at least one header field").optional(),
}, "a map").superRefine((value, context) => {
  const complain = (message: string) => context.addIssue({ code: "custom", message });
  const used = ACTIONS.filter((action) => value[action] !== undefined);
  const [verdict, ...others] = VERDICTS.filter((action) => value[action] !== undefined);
  if (used.length === 0) return complain(`has no action, expected one of ${ACTIONS.join(", ")}`);
  if (others.length > 0) complain(`has ${verdict} and ${others.join(" and ")}, expected only one of them`);
  if (verdict === undefined || verdict === "accept") return;
  const edits = used.filter((action) => action === "quarantine" || action === "add_header");
  if (edits.length > 0) {
    complain(
      `has ${edits.join(" and ")} beside ${verdict}, but mail that is not delivered cannot be changed`,
    );
  }
});

const schema = map({
  rules: z.array(rule, expected("a list of rules")).min(1, "is an empty list, expected a rule"),
}, "a map").superRefine(({ rules }, context) => {
  const last = rules.findIndex((rule) => rule.when === undefined && VERDICTS.some((action) => rule[action]));
  if (last === -1 || last === rules.length - 1) return;
  context.addIssue({
    code: "custom",
    path: ["rules", last + 1],
    message: `is never reached: rule ${last + 1} has no when, so it decides about all mail`,
  });
});

/**
 * Checks the options and compiles the rules.
 *
 * @throws {TypeError} naming each mistake by number and name of the rule, key and value.
 */
export function parseOptions(options: unknown): readonly Rule[] {
  const result = schema.safeParse(options);
  if (!result.success) throw new TypeError(complaint(result.error.issues, options));
  return result.data.rules.map((rule, index): Rule => {
    const edits = [...(rule.add_header ?? [])];
    if (rule.quarantine !== undefined) edits.push({ kind: "quarantine", reason: rule.quarantine });
    return {
      number: index + 1,
      label: rule.name ?? `rule ${index + 1}`,
      when: rule.when ?? ALWAYS,
      verdict: rule.reject ?? rule.tempfail ??
        (rule.discard ? discard() : rule.accept ? accept() : undefined),
      edits,
    };
  });
}

function complaint(issues: readonly z.core.$ZodIssue[], options: unknown): string {
  const told = issues.slice(0, MAX_TOLD).map((issue) => describe(issue, options));
  if (issues.length > MAX_TOLD) told.push(`and ${issues.length - MAX_TOLD} more`);
  const start = "Cannot use the options of the rules filter: ";
  return told.length === 1 ? start + told[0] : [`${start}${issues.length} mistakes`, ...told].join("\n- ");
}

/** Says where a mistake is, as the administrator counts: rules and list entries from 1. */
function describe(issue: z.core.$ZodIssue, options: unknown): string {
  const unknown = issue.code === "unrecognized_keys" ? issue.keys : [];
  let at = options;
  let place = "";
  let key = "";
  for (const [depth, step] of issue.path.entries()) {
    at = typeof at === "object" && at !== null ? Reflect.get(at, step) : undefined;
    if (depth === 1 && issue.path[0] === "rules") {
      const name = typeof at === "object" && at !== null && "name" in at ? at.name : undefined;
      place = `rule ${Number(step) + 1}${typeof name === "string" ? ` (${JSON.stringify(name)})` : ""}`;
      key = "";
    } else if (typeof step !== "number") {
      key += `${key === "" ? "" : "."}${String(step)}`;
    } else {
      key += `[${step + 1}]`;
    }
  }
  if (unknown.length > 0) {
    const keys = unknown.map((name) => JSON.stringify(`${key === "" ? "" : `${key}.`}${name}`)).join(", ");
    return `${place === "" ? "" : `${place}: `}unknown key ${keys}; ${issue.message}`;
  }
  const where = [place, key === "" ? "" : `key ${JSON.stringify(key)}`].filter((part) => part !== "").join(
    ", ",
  );
  return `${where === "" ? "the whole" : where}: ${issue.message}`;
}
