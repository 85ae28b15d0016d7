// What each kind of condition says at each stage: true, false, or not known yet.
import assert from "node:assert/strict";
import { type Condition, evaluate } from "./condition.ts";
import { type Stage, STAGES } from "./stages.ts";
import { conditionOf, factsAt, type TestFacts } from "./test_facts.ts";

/** `+` true, `-` false, `?` not known: one letter for connect, helo, mail, rcpt, data, endOfHeaders, body, endOfMessage. */
function overStages(condition: Condition, facts: (stage: Stage) => TestFacts): string {
  return STAGES.map((stage) => {
    const answer = evaluate(condition, factsAt(stage, facts(stage)));
    return answer === undefined ? "?" : answer ? "+" : "-";
  }).join("");
}

const from = (first: Stage, macros: Readonly<Record<string, string>>) => (stage: Stage): TestFacts =>
  STAGES.indexOf(stage) >= STAGES.indexOf(first) ? { macros } : {};
const never = () => ({});

const ROWS: readonly (readonly [what: string, when: unknown, facts: (stage: Stage) => TestFacts, string])[] =
  [
    ["logged in", { authenticated: true }, from("mail", { auth_authen: "anna" }), "??++++++"],
    ["not logged in", { authenticated: true }, never, "??------"],
    [
      "a login without a name is none",
      { authenticated: true },
      from("mail", { auth_authen: "" }),
      "??------",
    ],
    [
      "authenticated: false, logged in",
      { authenticated: false },
      from("mail", { auth_authen: "anna" }),
      "??------",
    ],
    ["authenticated: false, not logged in", { authenticated: false }, never, "??++++++"],
    [
      "TLS, known at HELO, holds from MAIL on",
      { tls: true },
      from("helo", { tls_version: "TLSv1.3" }),
      "??++++++",
    ],
    ["no TLS at the first HELO may be TLS at the second", { tls: false }, never, "??++++++"],
    ["TLS without a version is none", { tls: true }, from("helo", { tls_version: "" }), "??------"],
    ["daemon", { daemon: ["MSA", "mta*"] }, from("connect", { daemon_name: "MTA-v4" }), "++++++++"],
    ["other daemon", { daemon: "MSA" }, from("connect", { daemon_name: "MTA" }), "--------"],
    ["no daemon name is none of any", { daemon: "*" }, never, "--------"],
    [
      "macro of the connect",
      { macro: { "{if_addr}": "192.0.2.*" } },
      from("connect", { if_addr: "192.0.2.1" }),
      "++++++++",
    ],
    ["macro of the connect, absent", { macro: { "{client_resolve}": "FORGED" } }, never, "--------"],
    [
      "macro of MAIL",
      { macro: { "{auth_type}": "PLAIN" } },
      from("mail", { auth_type: "plain" }),
      "??++++++",
    ],
    [
      "macro of MAIL, other value",
      { macro: { auth_type: "/^LOGIN$/" } },
      from("mail", { auth_type: "PLAIN" }),
      "??------",
    ],
    ["macro of MAIL, absent there, absent for good", { macro: { "{auth_type}": "*" } }, never, "??------"],
    [
      "macro of TLS holds from MAIL on",
      { macro: { "{cipher_bits}": "256" } },
      from("helo", { cipher_bits: "256" }),
      "??++++++",
    ],
    ["queue id of Sendmail", { macro: { i: "4F*" } }, from("mail", { i: "4F6D" }), "??++++++"],
    ["queue id of Postfix", { macro: { "{i}": "4F*" } }, from("data", { i: "4F6D" }), "????++++"],
    ["other macro, set at MAIL", { macro: { "{rep}": "bad" } }, from("mail", { rep: "bad" }), "??++++++"],
    [
      "other macro, set early, is not looked at before",
      { macro: { "{rep}": "bad" } },
      from("connect", { rep: "good" }),
      "??------",
    ],
    [
      "other macro, set late",
      { macro: { "{msg_id}": "<*@a>" } },
      from("endOfHeaders", { msg_id: "<1@a>" }),
      "?????+++",
    ],
    ["other macro, never set", { macro: { "{rep}": "*" } }, never, "?????---"],
    [
      "two macros, one too few",
      { macro: { "{rep}": "a", "{auth_type}": "*" } },
      from("mail", { rep: "a" }),
      "??------",
    ],
    [
      "an empty value is a value",
      { macro: { "{rcpt_count}": "/^$/" } },
      from("mail", { rcpt_count: "" }),
      "??++++++",
    ],
    [
      "any: decided by what is known first",
      { any: [{ client: "192.0.2.1" }, { tls: true }] },
      () => ({ client: "192.0.2.1" }),
      "++++++++",
    ],
    [
      "undecided beside undecided",
      { all: [{ helo: "*" }, { authenticated: true }] },
      from("mail", { auth_authen: "a" }),
      "??++++++",
    ],
    [
      "one of all is false",
      { all: [{ daemon: "MSA" }, { header_missing: "Date" }] },
      from("connect", { daemon_name: "MTA" }),
      "--------",
    ],
    ["recipients still come", { recipient: "a@x" }, () => ({ recipients: ["b@x"] }), "????----"],
    [
      "one recipient of several",
      { recipient_domain: "x" },
      (stage) => ({ recipients: stage === "mail" ? [] : ["b@y", "b@x"] }),
      "++?+++++",
    ],
    ["no recipient at all", { not: { recipient: "*" } }, never, "????++++"],
  ];

for (const [what, when, facts, expected] of ROWS) {
  Deno.test(`condition over the stages: ${what}`, () => {
    assert.equal(overStages(conditionOf(when), facts), expected);
  });
}

Deno.test("a recipient that matched is remembered, so that each is looked at once", () => {
  const condition = conditionOf({ recipient: "b@x", not: { header: { Subject: "good" } } });
  const known = new Map<Condition, boolean>();
  const look = (stage: Stage, recipients: readonly string[]) =>
    evaluate(condition, factsAt(stage, { recipients, known, headers: { Subject: "bad" } }));
  assert.equal(look("rcpt", ["a@x"]), undefined);
  assert.equal(look("rcpt", ["b@x"]), undefined);
  assert.equal(look("rcpt", ["c@x"]), undefined);
  assert.equal(look("data", []), undefined);
  assert.equal(look("endOfHeaders", []), true);
});

Deno.test("judged for one recipient after another, the answer for one is not the next one's", () => {
  const condition = conditionOf({ recipient: "b@x" });
  const known = new Map<Condition, boolean>();
  const judge = (recipient: string) =>
    evaluate(condition, factsAt("rcpt", { recipients: [recipient], recipientsComplete: true, known }));
  assert.deepEqual([judge("b@x"), judge("a@x"), judge("b@x")], [true, false, true]);
});

Deno.test("the first value of a macro holds for the mail", () => {
  const condition = conditionOf({ macro: { "{rep}": "bad" } });
  const known = new Map<Condition, boolean>();
  const look = (stage: Stage, rep: string) => evaluate(condition, factsAt(stage, { macros: { rep }, known }));
  assert.deepEqual([look("mail", "bad"), look("data", "good")], [true, true]);
  assert.equal(evaluate(condition, factsAt("data", { macros: { rep: "good" } })), false);
});
