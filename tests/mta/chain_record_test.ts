/** The comparison itself: a chain that gives something else is found, and so is a scenario that proves nothing. */
import { deepEqual, throws } from "node:assert/strict";
import { checkPremise, compare, expectedOf, type Recorded } from "./chain_record.ts";
import { type ChainScenario, oneMail, streaming, whole } from "./chain_scenario.ts";
import { chainScenarios } from "./chain_scenarios.ts";

const recorded: Recorded = {
  talk: ["220 mx.lab.example", "> QUIT", "221 Bye"],
  mails: [["delivered to <one@lab.example> from <a@client.example>", "| Subject: test", "|", "| text"]],
  notes: [["message", "  => act 0: addHeader"], ["connect"], []],
};

const scenario: ChainScenario = {
  name: "made up",
  filters: [whole(["addHeader", "X-A", "1"]), streaming(), whole()],
  steps: oneMail(),
  delivers: 1,
};

Deno.test("compare() finds a line that is another, too many, or missing, and shows it", () => {
  compare("the same", recorded, structuredClone(recorded));
  const others: readonly (readonly [Partial<Recorded>, RegExp])[] = [
    [{ talk: ["220 mx.lab.example", "> QUIT", "221 bye"] }, /^-221 Bye\n\+221 bye$/m],
    [{ mails: [] }, /^-delivered to <one@lab\.example> from <a@client\.example>$/m],
    [{ mails: [recorded.mails[0], recorded.mails[0]] }, /^\+delivered to/m],
    [{ mails: [recorded.mails[0].with(3, "| text ")] }, /^-\| text\n\+\| text $/m],
    [{ notes: recorded.notes.with(1, []) }, /^- {2}connect$/m],
    [{ notes: recorded.notes.with(2, ["close"]) }, /^\+ {2}close$/m],
  ];
  for (const [other, shown] of others) {
    throws(() => compare("what", recorded, { ...recorded, ...other }), shown);
  }
});

Deno.test("checkPremise() refuses a scenario in which not all is done that it says", () => {
  checkPremise(scenario, "postfix", recorded);
  throws(
    () => checkPremise({ ...scenario, delivers: 2 }, "postfix", recorded),
    /1 mails are delivered, 2 were/,
  );
  throws(
    () => checkPremise({ ...scenario, delivers: { postfix: 1, sendmail: 0 } }, "sendmail", recorded),
    /0 were/,
  );
  throws(() => checkPremise({ ...scenario, holds: 1 }, "postfix", recorded), /0 mails are held, 1 were/);
  throws(
    () => checkPremise(scenario, "postfix", { ...recorded, notes: [[], [], []] }),
    /not reached in the first filter/,
  );
  throws(
    () => checkPremise({ ...scenario, unreached: ["first"] }, "postfix", recorded),
    /is no "unreached" one/,
  );
});

Deno.test("expectedOf() applies a difference where there is one, and refuses one that there is not", () => {
  const other: Recorded = { ...recorded, notes: [["message", "  to <x@lab.example>"], [], []] };
  const alone = { postfix: recorded, sendmail: other };
  const why = "of a test";
  deepEqual(expectedOf(scenario, "sendmail", alone), other);
  const like = { ...scenario, differs: { why, like: "postfix" } } as const;
  deepEqual(expectedOf(like, "sendmail", alone), recorded);
  deepEqual(expectedOf(like, "postfix", alone), recorded);
  throws(() => expectedOf(like, "sendmail", { postfix: recorded, sendmail: recorded }), /they do not/);
  const notes = {
    first: [["  to <x@lab.example>", "  to <y@lab.example>", "  to <z@lab.example>"]],
  } as const;
  deepEqual(
    expectedOf({ ...scenario, differs: { why, notes } }, "sendmail", alone).notes[0],
    ["message", "  to <y@lab.example>", "  to <z@lab.example>"],
  );
  throws(
    () => expectedOf({ ...scenario, differs: { why, notes } }, "postfix", alone),
    /a line that the first filter/,
  );
  const talk = [["221 Bye", "221 Good night"]] as const;
  deepEqual(
    expectedOf({ ...scenario, differs: { why, talk } }, "postfix", alone).talk.at(-1),
    "221 Good night",
  );
});

Deno.test("scenarios have names of their own", () => {
  const names = chainScenarios.map(({ name }) => name);
  deepEqual(names.filter((name, n) => names.indexOf(name) !== n), []);
});
