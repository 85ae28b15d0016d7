// Random conditions on random mails, stage by stage: what is decided stays decided, is decided when it was said to be, and
// is what a look at the whole mail says.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Condition, evaluate } from "./condition.ts";
import type { Stage } from "./stages.ts";
import { conditionOf, factsAt, type TestFacts } from "./test_facts.ts";
import { turnsOf } from "./turns.ts";

const letter = fc.constantFrom("a", "b");
const pattern = fc.constantFrom("a", "b", "*", "/^b|c/", "?");
const names = fc.oneof(pattern, fc.array(pattern, { minLength: 1, maxLength: 2 }));
const address = fc.constantFrom("a@a", "b@*", "*@b", "/^b/");
const bytes = fc.constantFrom(0, 10, 100, 1000);
/** Macros, and when they come: `first` and `late` are such as no list has by default. */
const MACROS = {
  daemon_name: ["connect"],
  tls_version: ["helo"],
  auth_authen: ["mail"],
  first: ["mail", "endOfHeaders"],
  i: ["mail", "endOfHeaders"],
} as const satisfies Record<string, readonly Stage[]>;

const { when } = fc.letrec<{ when: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom("192.0.2.1", "192.0.2.2").map((client) => ({ client })),
    names.map((client_host) => ({ client_host })),
    names.map((helo) => ({ helo })),
    names.map((daemon) => ({ daemon })),
    fc.boolean().map((tls) => ({ tls })),
    fc.boolean().map((authenticated) => ({ authenticated })),
    address.map((sender) => ({ sender })),
    address.map((recipient) => ({ recipient })),
    names.map((recipient_domain) => ({ recipient_domain })),
    fc.record({ name: fc.constantFrom("first", "i", "auth_authen"), names }).map(({ name, names }) => ({
      macro: { [name]: names },
    })),
    names.map((Subject) => ({ header: { Subject } })),
    fc.constant({ header_missing: "Subject" }),
    bytes.map((over) => ({ size: { over } })),
    bytes.map((under) => ({ size: { under } })),
  ),
  when: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("when"), { minLength: 1, maxLength: 3 }).map((all) => ({ all })),
    fc.array(tie("when"), { minLength: 1, maxLength: 3 }).map((any) => ({ any })),
    tie("when").map((not) => ({ not })),
  ),
}));

type MacroName = keyof typeof MACROS;
/** A macro's value, and the place in {@linkcode MACROS} of the stage at which it comes. */
type Arrival = { readonly value: string; readonly when: number } | undefined;
type Sample = {
  readonly client: string;
  readonly host: string;
  readonly helo: string | undefined;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly subject: string | undefined;
  readonly announced: number;
  readonly pieces: readonly number[];
  readonly macros: Readonly<Record<MacroName, Arrival>>;
};
const arrival = fc.option(fc.record({ value: fc.constantFrom("", "a", "b"), when: fc.nat(1) }), {
  nil: undefined,
});
const mail: fc.Arbitrary<Sample> = fc.record({
  client: fc.constantFrom("192.0.2.1", "192.0.2.2"),
  host: letter,
  helo: fc.option(letter, { nil: undefined }),
  sender: fc.constantFrom("", "a@a", "b@b"),
  recipients: fc.array(fc.constantFrom("a@a", "a@b", "b@a"), { maxLength: 3 }),
  subject: fc.option(letter, { nil: undefined }),
  announced: fc.constantFrom(0, 50),
  pieces: fc.array(fc.constantFrom(1, 9, 90), { maxLength: 3 }),
  macros: fc.record({
    daemon_name: arrival,
    tls_version: arrival,
    auth_authen: arrival,
    first: arrival,
    i: arrival,
  }),
});

/** One look at a mail: all that is known by then, and the recipients that are new. */
type Look = { readonly stage: Stage; readonly facts: TestFacts; readonly fresh: readonly string[] };

/** The looks at a mail as its commands come. */
function looksAt(mail: Sample): Look[] {
  let facts: TestFacts & { readonly macros: Record<string, string>; readonly recipients: readonly string[] } =
    {
      macros: {},
      recipients: [],
    };
  const looks: Look[] = [];
  const look = (stage: Stage, more: TestFacts = {}, fresh: readonly string[] = []): void => {
    const macros = { ...facts.macros };
    for (const [name, stages] of Object.entries(MACROS)) {
      const comes = mail.macros[name as MacroName];
      if (comes !== undefined && stages[Math.min(comes.when, stages.length - 1)] === stage) {
        macros[name] = comes.value;
      }
    }
    facts = { ...facts, ...more, macros, recipients: [...facts.recipients, ...fresh] };
    looks.push({ stage, facts, fresh });
  };
  look("connect", { client: mail.client, host: mail.host });
  if (mail.helo !== undefined) look("helo", { helo: mail.helo });
  look("mail", { sender: mail.sender, size: mail.announced });
  for (const recipient of mail.recipients) look("rcpt", {}, [recipient]);
  look("data");
  look("endOfHeaders", mail.subject === undefined ? {} : { headers: { Subject: mail.subject } });
  let size = 5;
  for (const piece of mail.pieces) look("body", { size: Math.max(mail.announced, size += piece) });
  look("endOfMessage", { size: Math.max(mail.announced, size) });
  return looks;
}

/** The answer at each look, as those see it who know everything each time, and as those who remember what was. */
function answers(
  condition: Condition,
  mail: Sample,
): { readonly stage: Stage; readonly answer: boolean | undefined }[] {
  const known = new Map<Condition, boolean>();
  return looksAt(mail).map(({ stage, facts, fresh }) => {
    const answer = evaluate(condition, factsAt(stage, facts));
    const remembered = evaluate(condition, factsAt(stage, { ...facts, recipients: fresh, known }));
    assert.equal(remembered, answer, `at ${stage} with what is remembered`);
    return { stage, answer };
  });
}

Deno.test("once decided, a condition never changes, and at the end it is decided", () => {
  fc.assert(
    fc.property(when, mail, (when, mail) => {
      const all = answers(conditionOf(when), mail).map(({ answer }) => answer);
      const first = all.findIndex((answer) => answer !== undefined);
      assert.notEqual(first, -1);
      assert.deepEqual(all.slice(first), all.slice(first).map(() => all[first]));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("a condition is decided at a stage at which it was said that it can be", () => {
  fc.assert(
    fc.property(when, mail, (when, mail) => {
      const condition = conditionOf(when);
      const decided = answers(condition, mail).find(({ answer }) => answer !== undefined)!;
      // Without a recipient, DATA says that none matches.
      const turns = turnsOf(condition)[decided.answer ? "true" : "false"];
      const stage = decided.stage === "data" ? "rcpt" : decided.stage;
      assert.ok(turns.includes(stage), `${decided.answer} at ${stage}, said: ${turns.join(", ")}`);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("a macro that changes changes no decision that is remembered", () => {
  const values = fc.array(fc.option(letter, { nil: undefined }), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(when, mail, values, (when, mail, values) => {
      const condition = conditionOf(when);
      const known = new Map<Condition, boolean>();
      let decided: boolean | undefined;
      for (const [index, { stage, facts, fresh }] of looksAt(mail).entries()) {
        if (stage === "connect" || stage === "helo") continue;
        const first = values[index % values.length];
        const macros = { ...facts.macros, ...(first !== undefined && { first }) };
        const answer = evaluate(condition, factsAt(stage, { ...facts, macros, recipients: fresh, known }));
        if (decided !== undefined) assert.equal(answer, decided, stage);
        decided = answer;
      }
      assert.notEqual(decided, undefined);
    }),
    { numRuns: 2000 },
  );
});
