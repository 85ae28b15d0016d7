// Which macros come unasked is a matter of the mail servers' default lists, of which the MTA's session has the ones that
// were captured from real ones.
import assert from "node:assert/strict";
import { SMFIC } from "../protocol/mod.ts";
import { MtaMacros } from "../session/mta_macros.ts";
import { PLACES } from "./macros.ts";
import { macrosOf, macrosToAsk } from "./needs.ts";
import { conditionOf } from "./test_facts.ts";

const COMMANDS = {
  connect: SMFIC.CONNECT,
  helo: SMFIC.HELO,
  mail: SMFIC.MAIL,
  endOfHeaders: SMFIC.EOH,
  endOfMessage: SMFIC.BODYEOB,
} as const;
type ListStage = keyof typeof COMMANDS;

/** The bare names that a mail server sends at a stage to a filter that asks for none. */
function sent(dialect: "postfix" | "sendmail", stage: ListStage): string[] {
  const macros = new MtaMacros(dialect, () => "value");
  macros.agree(6, []);
  const decoder = new TextDecoder();
  return (macros.pairs(COMMANDS[stage]) ?? []).map(([name]) =>
    decoder.decode(name).replace(/^\{(.*)\}$/, "$1")
  );
}

Deno.test("a macro comes unasked only where a mail server sends it by default", () => {
  for (const [name, { lists, unasked }] of PLACES) {
    const comes = lists.some((stage) =>
      [...sent("postfix", stage as ListStage), ...sent("sendmail", stage as ListStage)].includes(name)
    );
    if (unasked) assert.ok(comes, name);
    // What one server has by default and the other only on request is asked for.
    else assert.ok(lists.every((stage) => !sent("sendmail", stage as ListStage).includes(name)), name);
  }
});

Deno.test("what both mail servers send up to MAIL has its place, and is not asked for", () => {
  for (const stage of ["connect", "helo", "mail"] as const) {
    const sendmail = sent("sendmail", stage);
    const both = sent("postfix", stage).filter((name) => sendmail.includes(name));
    assert.ok(both.length > 2, stage);
    for (const name of both) {
      assert.equal(PLACES.get(name)?.unasked, true, name);
      assert.ok(PLACES.get(name)?.lists.includes(stage), name);
    }
  }
});

/** The `when`; all macros that it reads, by the list that they belong in; those that have to be asked for. */
const ROWS: readonly (readonly [when: unknown, all: unknown, toAsk: unknown])[] = [
  [{ client: "192.0.2.1", header: { Subject: "x" }, recipient: "a@x" }, {}, undefined],
  [
    { daemon: "MSA", tls: true, any: [{ authenticated: false }, { not: { authenticated: true } }] },
    { connect: ["{daemon_name}"], helo: ["{tls_version}"], mail: ["{auth_authen}"] },
    undefined,
  ],
  [{ macro: { "{i}": "4*", _: "*" } }, { connect: ["_"], mail: ["i"], endOfHeaders: ["i"] }, undefined],
  [
    // A list of its own replaces the MTA's, so it has to hold what else is read there.
    { authenticated: true, tls: true, macro: { "{rep}": "bad", "{msg_id}": "*" } },
    {
      helo: ["{tls_version}"],
      mail: ["{auth_authen}", "{rep}", "{msg_id}"],
      endOfHeaders: ["{rep}", "{msg_id}"],
    },
    { mail: ["{auth_authen}", "{rep}", "{msg_id}"], endOfHeaders: ["{rep}", "{msg_id}"] },
  ],
  [
    { daemon: "MSA", macro: { client_ptr: "unknown", v: "Postfix*" }, authenticated: true },
    { connect: ["{daemon_name}", "{client_ptr}", "v"], mail: ["{auth_authen}"] },
    { connect: ["{daemon_name}", "{client_ptr}", "v"] },
  ],
];

Deno.test("the macros of a condition, and those to ask the mail server for", () => {
  for (const [when, all, toAsk] of ROWS) {
    const condition = conditionOf(when);
    assert.deepEqual(macrosOf(condition), all);
    assert.deepEqual(macrosToAsk(condition), toAsk);
  }
});
