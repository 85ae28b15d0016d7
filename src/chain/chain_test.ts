// A chain against its links asked one after the other, each on the mail as the one before left it.
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { entry } from "../../tests/helpers/chain_play.ts";
import type { Filter } from "../filter/mod.ts";
import type { Reply } from "../protocol/mod.ts";
import { applyReplies, type EditedMail } from "../testing/edited_mail.ts";
import { parseMail, renderMail } from "../testing/eml.ts";
import { type ChainRun, type FilterRun, runChain, runFilter, type TestMail } from "../testing/run_filter.ts";
import { Chain } from "./chain.ts";

function chainOf(...filters: Filter[]): Chain {
  return new Chain(filters.map((filter, i) => entry({ name: `link${i + 1}`, ...filter })));
}

/** The links one after the other, each given the mail as Postfix has it after the edits of those before. */
async function oneByOne(filters: readonly Filter[], mail: TestMail): Promise<FilterRun> {
  const { fields, body } = parseMail(new TextEncoder().encode(String(mail.message)));
  const brackets = (address: string) => `<${address}>`;
  const envelope = { sender: brackets(mail.sender!), recipients: mail.recipients!.map(brackets) };
  let edited: EditedMail = { ...envelope, fields, body, quarantine: undefined };
  let edits: Reply[] = [];
  let last: FilterRun | undefined;
  for (const filter of filters) {
    // An MTA delivers to each recipient once.
    const recipients = [...new Set(edited.recipients)];
    last = await runFilter(filter, {
      ...mail,
      message: renderMail(edited),
      sender: edited.sender,
      recipients,
    });
    // Another body takes the place of one before, and is no second piece of it.
    if (last.edits.some(isBody)) edits = edits.filter((edit) => !isBody(edit));
    edits.push(...last.edits);
    edited = applyReplies({ ...envelope, fields, body }, edits, "postfix");
  }
  return { ...last!, mail: edited };
}

function isBody({ kind }: Reply): boolean {
  return kind === "replaceBody";
}

const MAIL: TestMail = {
  sender: "a@client.example",
  recipients: ["one@lab.example", "two@lab.example"],
  message: "X-A: 1\nSubject: test\nX-A: 2\nX-B: 3\nx-a: 4\n\nfirst\nlast\n",
};

const name = fc.constantFrom("X-A", "x-a", "X-B", "X-C", "Subject");
const value = fc.constantFrom("one", "two", "three", "folded\n\tvalue", "");
const index = fc.constantFrom(0, 1);
const nth = fc.integer({ min: 1, max: 4 });
const edit = fc.oneof(
  fc.record({ do: fc.constant("addHeader" as const), name, value }),
  fc.record({ do: fc.constant("insertHeader" as const), index, name, value }),
  fc.record({ do: fc.constant("changeHeader" as const), name, nth, value: fc.constantFrom("new", "newer") }),
  fc.record({ do: fc.constant("removeHeader" as const), name, nth: fc.option(nth, { nil: undefined }) }),
  fc.record({
    do: fc.constant("replaceBody" as const),
    value: fc.constantFrom("one\n", "two\nlines\r\n", ""),
  }),
  fc.record({
    do: fc.constant("addRecipient" as const),
    value: fc.constantFrom("<three@lab.example>", "<one@lab.example>"),
  }),
  fc.record({
    do: fc.constant("removeRecipient" as const),
    value: fc.constantFrom("<one@lab.example>", "<three@lab.example>"),
  }),
  fc.record({ do: fc.constant("changeSender" as const), value: fc.constantFrom("<b@client.example>", "<>") }),
);
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

/** A filter that makes these edits, and notes the mail as it sees it. */
function editing(edits: readonly Edit[], note: (seen: string) => void): Filter {
  return {
    message(mail, context) {
      note(JSON.stringify([
        mail.sender.address,
        mail.recipients.map(({ address }) => address),
        [...mail.headers].map((field) => [field.name, field.value]),
        mail.body.text(),
      ]));
      for (const edit of edits) {
        switch (edit.do) {
          case "addHeader":
            context.addHeader(edit.name, edit.value);
            break;
          case "insertHeader":
            context.insertHeader(edit.index, edit.name, edit.value);
            break;
          case "changeHeader":
            context.changeHeader(edit.name, edit.value, edit.nth);
            break;
          case "removeHeader":
            context.removeHeader(edit.name, edit.nth);
            break;
          case "replaceBody":
            context.replaceBody(edit.value);
            break;
          case "addRecipient":
            context.addRecipient(edit.value);
            break;
          case "removeRecipient":
            context.removeRecipient(edit.value);
            break;
          case "changeSender":
            context.changeSender(edit.value);
        }
      }
    },
  };
}

function outlineOf({ verdict, reply, stage, refused, mail }: FilterRun): unknown {
  return {
    verdict,
    reply,
    stage,
    refused,
    sender: mail?.sender,
    recipients: mail && [...new Set(mail.recipients)].sort(),
    message: mail && new TextDecoder().decode(renderMail(mail)),
  };
}

test("what three links change is what the mail would be had each changed it in turn, on both MTAs", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.array(edit, { maxLength: 4 }), { minLength: 2, maxLength: 4 }),
    async (plan) => {
      // What Postfix makes of separate filters is what is meant; Sendmail keeps the slots of removed fields.
      const seen: [string[], string[], string[]] = [[], [], []];
      const filters = (i: number) => plan.map((edits) => editing(edits, (text) => void seen[i].push(text)));
      const wanted = outlineOf(await oneByOne(filters(0), MAIL));
      assert.deepEqual(
        outlineOf(await runChain(chainOf(...filters(1)), MAIL, { dialect: "postfix" })),
        wanted,
      );
      assert.deepEqual(
        outlineOf(await runChain(chainOf(...filters(2)), MAIL, { dialect: "sendmail" })),
        wanted,
      );
      assert.deepEqual(seen[1], seen[0]);
      assert.deepEqual(seen[2], seen[0]);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

const STAGES = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "header",
  "endOfHeaders",
  "body",
  "endOfMessage",
] as const;

test("a link's verdict at any stage ends the mail, or its own part in it, and the others hear of that", async () => {
  for (const stage of STAGES) {
    for (const verdict of ["accept", "reject", "tempfail", "discard"] as const) {
      if (verdict === "discard" && (stage === "connect" || stage === "helo")) continue;
      for (const place of [0, 1, 2]) {
        const calls: string[] = [];
        const watching = (i: number): Filter => ({
          ...Object.fromEntries(STAGES.map((hook) => [hook, () => void calls.push(`${i} ${hook}`)])),
          abort: () => void calls.push(`${i} abort`),
        });
        const deciding: Filter = { ...watching(place), [stage]: () => ({ kind: verdict }) };
        const run = await runChain(
          chainOf(...[0, 1, 2].map((i) => i === place ? deciding : watching(i))),
          MAIL,
        );
        const text = `${verdict} at ${stage} by link ${place + 1}`;
        const objects = verdict !== "accept";
        // A refused recipient leaves the mail to the others; here all are refused.
        assert.equal(run.verdict, objects ? verdict : "continue", text);
        for (const other of [0, 1, 2]) {
          if (other === place) continue;
          const own = calls.filter((call) => call.startsWith(`${other} `)).map((call) => call.slice(2));
          if (!objects) assert.equal(own.at(-1), "endOfMessage", text);
          else if (other > place) assert.ok(!own.includes(stage === "data" ? "data" : stage), text);
          // Content goes to one link after the other, so an earlier one has seen the end by then.
          else if (stage !== "connect" && stage !== "helo" && !own.includes("endOfMessage")) {
            assert.equal(own.filter((call) => call === "abort").length, 1, `${text}: ${own}`);
          }
        }
      }
    }
  }
});

test("the record says what each link did, and why the answer is what it is", async () => {
  const run = await runChain(
    chainOf(
      { name: "mark", message: (_mail, { addHeader }) => addHeader("X-A", "b") },
      { name: "gone", mail: (_sender, { accept }) => accept() },
      { name: "judge", endOfMessage: ({ reject }) => reject("5.7.1", "no") },
      { name: "last", message() {} },
    ),
    MAIL,
  );
  assert.equal(run.reply, "550 5.7.1 no");
  const { links, why, verdict, filter } = run.report!;
  assert.equal(verdict, "reject");
  assert.equal(filter, "judge");
  assert.equal(why, 'link "judge" answers reject at endOfMessage');
  assert.deepEqual(
    links!.map(({ link, part, verdict, stage, edits }) => [link, part, verdict, stage, edits]),
    [
      ["mark", "answered", "continue", "endOfMessage", 1],
      ["gone", "answered", "accept", "mail", 0],
      ["judge", "answered", "reject", "endOfMessage", 0],
      ["last", "waiting", "none", undefined, 0],
    ],
  );
});

test("each link has a time of its own; its failure goes by its own policy, and the others go on", async () => {
  const hang = () => new Promise<void>(() => {});
  for (const outcome of ["accept", "tempfail", "reject"] as const) {
    for (const stage of ["mail", "rcpt", "header", "endOfMessage"] as const) {
      const mark = (name: string): Filter => ({
        name,
        message: (_mail, { addHeader }) => addHeader(name, "1"),
      });
      const chain = new Chain([
        entry(mark("X-First")),
        entry({ name: "slow", [stage]: hang }, { timeout: 20 }, outcome),
        entry(mark("X-Last")),
      ]);
      const run: ChainRun = await runChain(chain, MAIL);
      assert.equal(run.verdict, outcome === "accept" ? "continue" : outcome, `${outcome} ${stage}`);
      assert.equal(run.failure?.kind, "timeout");
      if (outcome !== "accept") continue;
      assert.match(run.message!, /X-First: 1\r\nX-Last: 1\r\n/);
    }
  }
});
