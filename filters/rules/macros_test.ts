// Rules on what the MTA's macros say: when they decide, and which macros are asked for.
import assert from "node:assert/strict";
import { problemOf } from "../../src/session/filter_check.ts";
import { load, type Row, testRows } from "./rows_test.ts";

const LOGGED_IN = { "{auth_authen}": "anna", "{auth_type}": "PLAIN", "{tls_version}": "TLSv1.3" };

const ROWS: readonly Row[] = [
  {
    name: "submission needs a login",
    rules: [{ when: { daemon: "MSA", authenticated: false }, reject: "Log in first" }],
    mail: { macros: { "{daemon_name}": "msa" } },
    hooks: "mail",
    verdict: "reject",
    stage: "mail",
    reply: "550 5.7.1 Log in first",
  },
  {
    name: "who has logged in is passed by",
    rules: [{ when: { authenticated: true }, accept: true }, {
      when: { header: { Subject: "*" } },
      reject: true,
    }],
    mail: { macros: LOGGED_IN },
    hooks: "mail endOfHeaders",
    needs: "headers",
    verdict: "accept",
    stage: "mail",
  },
  {
    name: "another daemon's client is done with at connect",
    rules: [{ when: { daemon: ["MSA", "*-submission"] }, tempfail: true }],
    mail: { macros: { "{daemon_name}": "MTA" } },
    hooks: "connect",
    verdict: "done",
  },
  {
    name: "plain text refused at MAIL, as HELO may be followed by STARTTLS",
    rules: [{ when: { tls: false }, reject: { enhanced: "5.7.10", text: "Encrypt, please" } }],
    hooks: "mail",
    verdict: "reject",
    stage: "mail",
    reply: "550 5.7.10 Encrypt, please",
  },
  {
    name: "macro that the MTA sends by itself",
    rules: [{
      when: { macro: { "{auth_type}": ["LOGIN", "PLAIN"] }, tls: true },
      add_header: { name: "X-A", value: "1" },
    }],
    mail: { macros: LOGGED_IN },
    hooks: "endOfMessage",
    edits: "addHeader",
    verdict: "continue",
    header: "Subject: test|X-A: 1",
  },
  {
    name: "macro that is set, but to something else",
    rules: [{ when: { macro: { "{rep}": "bad" } }, reject: true }],
    mail: { macros: { "{rep}": "good" } },
    hooks: "mail endOfHeaders",
    verdict: "accept",
    stage: "mail",
  },
  {
    name: "macro that is never set",
    rules: [{ when: { macro: { "{rep}": "*" } }, reject: true }],
    hooks: "mail endOfHeaders",
    verdict: "accept",
    stage: "endOfHeaders",
  },
];

testRows(ROWS);

Deno.test("rules: macros are asked for only if the MTA does not send them by itself", () => {
  const macrosOf = (...when: readonly unknown[]) =>
    load(when.map((when) => ({ when, add_header: { name: "X-A", value: "1" } }))).macros;
  assert.equal(
    macrosOf({ authenticated: true, tls: true, daemon: "MTA" }, { macro: { i: "4*", "{mail_host}": "x" } }),
    undefined,
  );
  assert.deepEqual(
    macrosOf({ authenticated: true }, { macro: { "{rep}": "bad" } }, { not: { macro: { rep: "worse" } } }),
    {
      mail: ["{auth_authen}", "{rep}"],
      endOfHeaders: ["{rep}"],
    },
  );
  assert.deepEqual(macrosOf({ macro: { "{client_resolve}": "FORGED" } }, { tls: true }), {
    connect: ["{client_resolve}"],
  });
});

Deno.test("rules: more macros than Sendmail takes in one list are refused when the filter is loaded", () => {
  const problem = (count: number) => {
    const macro = Object.fromEntries(Array.from({ length: count }, (_, number) => [`{m${number}}`, "x"]));
    return problemOf(load([{ when: { macro }, accept: true }]), "rules");
  };
  assert.equal(problem(50), undefined);
  assert.match(problem(51) ?? "", /Cannot ask for 51 macros at mail: Sendmail takes at most 50/);
});
