// Deciding early must not decide otherwise: random rules on random mails, run stage by stage through the real session,
// against a reading of the same rules that knows everything at once.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type FilterRun, runFilter } from "../../src/testing/run_filter.ts";
import rulesFilter from "./mod.ts";

/** What a mail is made of here: each condition is about one of these, with few values so that many rules match. */
type Sample = {
  readonly client: string;
  readonly helo: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  readonly lines: number;
  readonly announced: number;
};
type When =
  | { readonly client: string }
  | { readonly helo: string }
  | { readonly sender: string }
  | { readonly recipient: string }
  | { readonly header: { readonly Subject: string } }
  | { readonly size: { readonly over: number } }
  | { readonly size: { readonly under: number } }
  | { readonly all: readonly When[] }
  | { readonly any: readonly When[] }
  | { readonly not: When };
type Action = "reject" | "tempfail" | "discard" | "accept" | "mark" | "mark and accept";
type SampleRule = { readonly when: When; readonly action: Action };

const LETTERS = ["a", "b", "c"] as const;
const letter = fc.constantFrom(...LETTERS);
const SIZES = [100, 1000, 80_000];

const { when } = fc.letrec<{ when: When; leaf: When }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom("192.0.2.1", "192.0.2.2").map((client) => ({ client })),
    letter.map((helo) => ({ helo })),
    letter.map((name) => ({ sender: `${name}@x` })),
    letter.map((name) => ({ recipient: `${name}@x` })),
    letter.map((Subject) => ({ header: { Subject } })),
    fc.constantFrom(...SIZES).map((over) => ({ size: { over } })),
    fc.constantFrom(...SIZES).map((under) => ({ size: { under } })),
  ),
  when: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("when"), { minLength: 1, maxLength: 3 }).map((all) => ({ all })),
    fc.array(tie("when"), { minLength: 1, maxLength: 3 }).map((any) => ({ any })),
    tie("when").map((not) => ({ not })),
  ),
}));
const action = fc.constantFrom<Action>("reject", "tempfail", "discard", "accept", "mark", "mark and accept");
const rules = fc.array(fc.record<SampleRule>({ when, action }), { minLength: 1, maxLength: 5 });

function samples(recipients: fc.Arbitrary<string[]>): fc.Arbitrary<Sample> {
  return fc.record({
    client: fc.constantFrom("192.0.2.1", "192.0.2.2", "192.0.2.3"),
    helo: letter,
    sender: letter,
    recipients,
    subject: letter,
    lines: fc.constantFrom(0, 1, 600, 70_000),
    announced: fc.constantFrom(0, 50, 90_000),
  });
}

function optionsOf({ when, action }: SampleRule, index: number): Record<string, unknown> {
  const mark = { add_header: { name: "X-Mark", value: `${index}` } };
  if (action === "mark") return { when, ...mark };
  if (action === "mark and accept") return { when, ...mark, accept: true };
  return { when, [action]: action === "reject" || action === "tempfail" ? "no" : true };
}

function messageOf({ subject, lines }: Sample): string {
  return `Subject: ${subject}\n\n${"\n".repeat(lines)}`;
}

function holds(when: When, mail: Sample, recipient: string): boolean {
  if ("all" in when) return when.all.every((part) => holds(part, mail, recipient));
  if ("any" in when) return when.any.some((part) => holds(part, mail, recipient));
  if ("not" in when) return !holds(when.not, mail, recipient);
  if ("client" in when) return when.client === mail.client;
  if ("helo" in when) return when.helo === mail.helo;
  if ("sender" in when) return when.sender === `${mail.sender}@x`;
  if ("recipient" in when) return when.recipient === `${recipient}@x`;
  if ("header" in when) return when.header.Subject === mail.subject;
  // Subject, colon, blank, a letter, twice CRLF; each line of the body is a CRLF.
  const size = Math.max(mail.announced, 14 + 2 * mail.lines);
  return "over" in when.size ? size > when.size.over : size < when.size.under;
}

/** What the rules say of one recipient: the fate, and the marks if the mail passes. */
function verdictOf(
  rules: readonly SampleRule[],
  mail: Sample,
  recipient: string,
): { fate: string; marks: number[] } {
  const marks: number[] = [];
  for (const [index, { when, action }] of rules.entries()) {
    if (!holds(when, mail, recipient)) continue;
    if (action.startsWith("mark")) marks.push(index);
    if (action === "mark") continue;
    return action.endsWith("accept") ? { fate: "pass", marks } : { fate: action, marks: [] };
  }
  return { fate: "pass", marks };
}

function play(rules: readonly SampleRule[], mail: Sample): Promise<FilterRun> {
  const quiet = () => {};
  const filter = rulesFilter({
    options: { rules: rules.map(optionsOf) },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    signal: new AbortController().signal,
  });
  return runFilter(filter, {
    message: messageOf(mail),
    sender: `${mail.sender}@x`,
    senderArgs: mail.announced > 0 ? [`SIZE=${mail.announced}`] : [],
    recipients: mail.recipients.map((name) => `${name}@x`),
    client: { address: mail.client },
    helo: mail.helo,
  });
}

function marksOf(run: FilterRun): number[] {
  return [...(run.message ?? "").matchAll(/^X-Mark: (\d+)/gm)].map(([, index]) => Number(index));
}

function fateOf(run: FilterRun): string {
  if (run.refused.length > 0 && run.mail?.recipients.length === 0) {
    return run.refused[0].reply?.startsWith("5") ? "reject" : "tempfail";
  }
  return run.mail === undefined ? run.verdict : "pass";
}

Deno.test("one recipient: the mail ends as if all had been known at once", async () => {
  const one = samples(letter.map((name) => [name]));
  await fc.assert(
    fc.asyncProperty(rules, one, async (rules, mail) => {
      const wanted = verdictOf(rules, mail, mail.recipients[0]);
      const run = await play(rules, mail);
      assert.equal(fateOf(run), wanted.fate);
      assert.deepEqual(marksOf(run), wanted.marks);
    }),
    { numRuns: 600 },
  );
});

Deno.test("several recipients: none gets a mail that is discarded for it, or is passed by for another", async () => {
  const many = samples(fc.uniqueArray(letter, { minLength: 2, maxLength: 3 }));
  await fc.assert(
    fc.asyncProperty(rules, many, async (rules, mail) => {
      const fates = new Map(
        mail.recipients.map((name) => [`<${name}@x>`, verdictOf(rules, mail, name).fate]),
      );
      const run = await play(rules, mail);
      // Accepted before RCPT the mail is for all recipients, who are not asked about then.
      const asked = (run.mail?.recipients.length ?? 0) + run.refused.length > 0;
      const got = asked ? run.mail?.recipients : [...fates.keys()];
      const passing = [...fates].filter(([, fate]) => fate === "pass").map(([name]) => name);
      if (run.mail === undefined) {
        // Refused for one, refused for all; discarded only if nobody is to get it.
        if (run.verdict === "discard") assert.deepEqual(passing, []);
        else assert.ok([...fates.values()].includes(run.verdict), `${run.verdict} of ${[...fates.values()]}`);
      } else {
        assert.deepEqual(got, passing);
        for (const { recipient } of run.refused) {
          assert.match(fates.get(recipient) ?? "", /^(reject|tempfail)$/);
        }
      }
    }),
    { numRuns: 600 },
  );
});
