// Rules as an administrator writes them, a mail, and what comes of it; wrong options and the message for each.
import assert from "node:assert/strict";
import { runFilter, type RunOptions, type TestMail } from "../../src/testing/run_filter.ts";
import type { Filter } from "../../src/filter/mod.ts";
import rulesFilter from "./mod.ts";

/** One record of the log, in short. */
type Logged = { readonly rule: string; readonly stage: string; readonly recipient?: string };

function load(rules: unknown, logged: Logged[] = []): Filter {
  const nothing = () => {};
  return rulesFilter({
    options: { rules },
    log: {
      debug: nothing,
      warn: nothing,
      error: nothing,
      info(message, fields = {}) {
        assert.equal(message, "rule matched");
        const { rule, stage, recipient } = fields;
        logged.push({
          rule: String(rule),
          stage: String(stage),
          ...(recipient === undefined ? {} : { recipient: String(recipient) }),
        });
      },
    },
    signal: new AbortController().signal,
  });
}

/** The hooks that a filter has, in the order of the protocol. */
function hooksOf(filter: Filter): string {
  return Object.entries(filter).filter(([, value]) => typeof value === "function").map(([name]) => name).join(
    " ",
  );
}

/** What the row does not name is what a mail that no rule touches gives. */
type Row = {
  readonly name: string;
  readonly rules: readonly unknown[];
  readonly mail?: TestMail;
  readonly run?: RunOptions;
  /** Hooks with blanks between them; what is read besides; the declared edits. */
  readonly hooks: string;
  readonly needs?: string;
  readonly edits?: string;
  /** `done` is an accept of the whole connection, after which the mail passes unseen. */
  readonly verdict: string;
  readonly stage?: string;
  readonly reply?: string;
  /** Recipients refused, as `<address> reply`. */
  readonly refused?: readonly string[];
  /** Recipients of the mail as it goes on. */
  readonly recipients?: readonly string[];
  readonly header?: string;
  readonly quarantine?: string;
  readonly logged?: readonly Logged[];
};

const MAIL = "Subject: Free Money\nFrom: a@example.org\n\nHello.\n";
const TO_THREE = { recipients: ["anna@example.com", "bob@example.com", "postmaster@example.com"] };

const ROWS: readonly Row[] = [
  // Where a rule decides
  {
    name: "client refused at connect, with name, code and text",
    rules: [{
      name: "bad net",
      when: { client: ["198.51.100.0/24", "192.0.2.0/24"] },
      reject: { code: 554, enhanced: "5.7.25", text: "Not from 100% of 192.0.2.0/24" },
    }],
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
    reply: "554 5.7.25 Not from 100% of 192.0.2.0/24",
    logged: [{ rule: "bad net", stage: "connect" }],
  },
  {
    name: "a client that no rule can touch is done with at connect",
    rules: [{ when: { client: "198.51.100.0/24" }, reject: true }],
    hooks: "connect",
    needs: "client",
    verdict: "done",
    logged: [],
  },
  {
    name: "IPv6 client",
    rules: [{ when: { client: "2001:db8::/32" }, reject: true }],
    mail: { client: { address: "2001:DB8:1::25" } },
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
  },
  {
    name: "IPv4-mapped client is an IPv4 client",
    rules: [{ when: { client: "192.0.2.7" }, reject: true }],
    mail: { client: { address: "::ffff:192.0.2.7" } },
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
  },
  {
    name: "IPv4-mapped network is an IPv4 network",
    rules: [{ when: { client: "::ffff:192.0.2.0/120" }, reject: true }],
    mail: { client: { address: "192.0.2.7" } },
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
  },
  {
    name: "no IPv4 client is in an IPv6 network",
    rules: [{ when: { client: "::/0" }, reject: true }],
    hooks: "connect",
    needs: "client",
    verdict: "done",
  },
  {
    name: "client host name, any case",
    rules: [{ when: { client_host: "*.Dynamic.example" }, tempfail: "Later, please" }],
    mail: { client: { host: "h7.DYNAMIC.example" } },
    hooks: "connect",
    needs: "client",
    verdict: "tempfail",
    stage: "connect",
    reply: "451 4.7.1 Later, please",
  },
  {
    name: "host name by a regular expression, any case without a flag",
    rules: [{ when: { client_host: "/^h[0-9]+[.]/" }, reject: true }],
    mail: { client: { host: "H77.example" } },
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
  },
  {
    name: "client without a name",
    rules: [{ when: { client_host: "[*]" }, reject: true }],
    mail: { client: { host: "[192.0.2.1]" } },
    hooks: "connect",
    needs: "client",
    verdict: "reject",
    stage: "connect",
  },
  {
    name: "client discarded at MAIL, since connect cannot",
    rules: [{ when: { client: "192.0.2.1" }, discard: true }],
    hooks: "mail",
    needs: "client",
    verdict: "discard",
    stage: "mail",
    logged: [{ rule: "rule 1", stage: "mail" }],
  },
  {
    name: "helo refused at helo",
    rules: [{ when: { helo: ["ylmf-pc", "localhost"] }, reject: { text: ["Not you", "again"] } }],
    mail: { helo: "LocalHost" },
    hooks: "helo",
    needs: "helo",
    verdict: "reject",
    stage: "helo",
    reply: "550-5.7.1 Not you\r\n550 5.7.1 again",
  },
  {
    name: "helo without a dot: also at MAIL, for a client that says none",
    rules: [{ when: { not: { helo: "*.*" } }, reject: true }],
    hooks: "helo mail",
    needs: "helo",
    verdict: "accept",
    stage: "mail",
  },
  {
    name: "sender domain refused at MAIL",
    rules: [{ when: { sender_domain: "*.example.org" }, reject: { enhanced: "5.1.8" } }],
    mail: { sender: "x@News.Example.ORG" },
    hooks: "mail",
    needs: "sender",
    verdict: "reject",
    stage: "mail",
    reply: "550 5.1.8 Command rejected",
  },
  {
    name: "sender address, any case",
    rules: [{ when: { sender: "bulk-*@example.org" }, tempfail: { code: 450 } }],
    mail: { sender: "Bulk-17@EXAMPLE.org" },
    hooks: "mail",
    needs: "sender",
    verdict: "tempfail",
    stage: "mail",
    reply: "450 4.7.1 Please try again later",
  },
  {
    name: "null sender",
    rules: [{ when: { sender: "<>" }, reject: true }],
    mail: { sender: "" },
    hooks: "mail",
    needs: "sender",
    verdict: "reject",
    stage: "mail",
  },
  {
    name: "one recipient refused, the others get the mail",
    rules: [{
      name: "no bob",
      when: { recipient: "bob@*" },
      reject: { enhanced: "5.1.1", text: "No Bob here" },
    }],
    mail: TO_THREE,
    hooks: "rcpt",
    needs: "recipients",
    verdict: "continue",
    refused: ["<bob@example.com> 550 5.1.1 No Bob here"],
    recipients: ["<anna@example.com>", "<postmaster@example.com>"],
    logged: [{ rule: "no bob", stage: "rcpt", recipient: "bob@example.com" }],
  },
  {
    name: "recipient domain and client together decide at RCPT",
    rules: [{ when: { client: "192.0.2.0/24", recipient_domain: "example.net" }, tempfail: "Not now" }],
    mail: { recipients: ["a@example.net", "a@example.com"] },
    hooks: "rcpt",
    needs: "client recipients",
    verdict: "continue",
    refused: ["<a@example.net> 451 4.7.1 Not now"],
    recipients: ["<a@example.com>"],
  },
  {
    name: "header refused at the end of the header",
    rules: [{ when: { header: { subject: "*free money*" } }, reject: "Spam" }],
    mail: { message: MAIL },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "reject",
    stage: "endOfHeaders",
    reply: "550 5.7.1 Spam",
  },
  {
    name: "encoded word, decoded",
    rules: [{ when: { header: { Subject: "/gr[üu]n/i" } }, discard: true }],
    mail: { message: "Subject: =?utf-8?q?GR=C3=9CN?=\n\nx\n" },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "discard",
    stage: "endOfHeaders",
  },
  {
    name: "encoded word, as sent",
    rules: [{ when: { header: { Subject: "=[?]*" } }, reject: true }, {
      when: { header: { Subject: "=?GB2312?*" } },
      reject: true,
    }],
    mail: { message: "Subject: =?gb2312?b?xOO6ww==?=\n\nx\n" },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "reject",
    stage: "endOfHeaders",
    logged: [{ rule: "rule 2", stage: "endOfHeaders" }],
  },
  {
    name: "a regular expression on a header minds case without i",
    rules: [{ when: { header: { Subject: "/free/" } }, reject: true }],
    mail: { message: MAIL },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "accept",
    stage: "endOfHeaders",
  },
  {
    name: "the second field of a name counts as well",
    rules: [{ when: { header: { "X-Loop": "us" } }, reject: true }],
    mail: { message: "X-Loop: them\nX-Loop: us\n\nx\n" },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "reject",
    stage: "endOfHeaders",
  },
  {
    name: "header missing",
    rules: [{ when: { header_missing: ["Date", "From"] }, reject: true }],
    mail: { message: "from: a@example.org\n\nx\n" },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "reject",
    stage: "endOfHeaders",
  },
  {
    name: "header not missing, though empty",
    rules: [{ when: { header_missing: "Date" }, reject: true }],
    mail: { message: "Date:\n\nx\n" },
    hooks: "endOfHeaders",
    needs: "headers",
    verdict: "accept",
    stage: "endOfHeaders",
  },
  {
    name: "announced size refused at MAIL",
    rules: [{ when: { size: { over: "1KiB" } }, reject: { code: 552, enhanced: "5.3.4", text: "Too big" } }],
    mail: { senderArgs: ["size=1025"] },
    hooks: "mail body endOfMessage",
    needs: "sender headers",
    verdict: "reject",
    stage: "mail",
    reply: "552 5.3.4 Too big",
  },
  {
    name: "size that was not announced refused in the body",
    rules: [{ when: { size: { over: "100KiB" } }, reject: true }],
    mail: { senderArgs: ["SIZE=10"], message: `A: b\n\n${"x\n".repeat(60_000)}` },
    hooks: "mail body endOfMessage",
    needs: "sender headers",
    verdict: "reject",
    stage: "body",
  },
  {
    name: "size counts the header, also of a mail without a body",
    rules: [{ when: { size: { over: 15 } }, reject: true }],
    mail: { message: "A: b\nC: d\n e\n\n" },
    hooks: "mail body endOfMessage",
    needs: "sender headers",
    verdict: "reject",
    stage: "endOfMessage",
  },
  {
    name: "size to the byte: A: b CRLF C: d CRLF e CRLF CRLF x CRLF has 21 bytes, not over",
    rules: [{ when: { size: { over: 21 } }, reject: true }],
    mail: { message: "A: b\nC: d\n e\n\nx\n" },
    hooks: "mail body endOfMessage",
    needs: "sender headers",
    verdict: "continue",
  },
  {
    name: "size to the byte: over",
    rules: [{ when: { size: { over: 20 } }, reject: true }],
    mail: { message: "A: b\nC: d\n e\n\nx\n" },
    hooks: "mail body endOfMessage",
    needs: "sender headers",
    verdict: "reject",
    stage: "body",
  },
  {
    name: "size under, known at the end only",
    rules: [{ when: { size: { under: 22 } }, reject: true }],
    mail: { message: "A: b\nC: d\n e\n\nx\n" },
    hooks: "body endOfMessage",
    needs: "sender headers",
    verdict: "reject",
    stage: "endOfMessage",
  },
  {
    name: "size under: the rest of a large body is skipped",
    rules: [{ when: { size: { under: "1KiB" } }, add_header: { name: "X-Small", value: "yes" } }],
    mail: { message: `A: b\n\n${"x\n".repeat(60_000)}` },
    hooks: "body endOfMessage",
    needs: "sender headers",
    edits: "addHeader",
    verdict: "accept",
    stage: "body",
  },
  // Edits
  {
    name: "edits add up, at three places, in the order of the rules",
    rules: [
      { name: "mark", when: { client: "192.0.2.1" }, add_header: { name: "X-Client", value: "known" } },
      {
        when: { header: { Subject: "*money*" } },
        quarantine: "money talk",
        add_header: [{ name: "X-Top", value: "1", at: "top" }, {
          name: "X-Two",
          value: "2",
          at: "below_received",
        }],
      },
      { when: { helo: "nobody" }, add_header: { name: "X-Never", value: "3" } },
    ],
    mail: { message: "Subject: Money\n\nx\n" },
    hooks: "endOfMessage",
    needs: "client headers helo",
    edits: "addHeader insertHeader quarantine",
    verdict: "continue",
    header: "X-Top: 1|X-Two: 2|Subject: Money|X-Client: known",
    quarantine: "money talk",
    logged: [{ rule: "mark", stage: "endOfMessage" }, { rule: "rule 2", stage: "endOfMessage" }],
  },
  {
    name: "all mail is marked by a rule without when",
    rules: [{ add_header: { name: "X-Seen", value: "grüß" } }],
    hooks: "endOfMessage",
    edits: "addHeader",
    verdict: "continue",
    header: "Subject: test|X-Seen: grüß",
  },
  {
    name: "no edits on mail that is refused",
    rules: [{ add_header: { name: "X-Seen", value: "yes" } }, {
      when: { sender: "*@example.org" },
      reject: true,
    }],
    hooks: "mail endOfMessage",
    needs: "sender",
    edits: "addHeader",
    verdict: "reject",
    stage: "mail",
    logged: [{ rule: "rule 2", stage: "mail" }],
  },
  // Order
  {
    name: "the first decisive rule wins: accept ends the rules, its own edits are made",
    rules: [
      {
        name: "ours",
        when: { client: "192.0.2.0/24" },
        accept: true,
        add_header: { name: "X-Ours", value: "yes" },
      },
      { when: { header: { Subject: "*" } }, reject: true },
      { when: { header: { Subject: "*" } }, add_header: { name: "X-Late", value: "no" } },
    ],
    hooks: "connect endOfHeaders endOfMessage",
    needs: "client headers",
    edits: "addHeader",
    verdict: "accept",
    stage: "endOfMessage",
    header: "Subject: test|X-Ours: yes",
    logged: [{ rule: "ours", stage: "endOfMessage" }],
  },
  {
    name: "accepted client is done with at connect",
    rules: [{ name: "ours", when: { client: "192.0.2.0/24" }, accept: true }, {
      when: { header: { Subject: "*" } },
      reject: true,
    }],
    hooks: "connect endOfHeaders",
    needs: "client headers",
    verdict: "done",
    logged: [{ rule: "ours", stage: "connect" }],
  },
  {
    name: "accept by helo waits for MAIL, as another HELO may come",
    rules: [{ when: { helo: "client.*" }, accept: true }, {
      when: { header: { Subject: "*" } },
      reject: true,
    }],
    hooks: "mail endOfHeaders",
    needs: "helo headers",
    verdict: "accept",
    stage: "mail",
  },
  {
    name: "a client rule waits for an accept before it that needs the sender",
    rules: [
      { when: { sender: "friend@example.org" }, accept: true },
      { when: { client: "192.0.2.0/24" }, reject: true },
    ],
    mail: { sender: "foe@example.org" },
    hooks: "mail",
    needs: "sender client",
    verdict: "reject",
    stage: "mail",
    logged: [{ rule: "rule 2", stage: "mail" }],
  },
  {
    name: "the accept before it wins",
    rules: [
      { when: { sender: "friend@example.org" }, accept: true },
      { when: { client: "192.0.2.0/24" }, reject: true },
    ],
    mail: { sender: "friend@example.org" },
    hooks: "mail",
    needs: "sender client",
    verdict: "accept",
    stage: "mail",
  },
  {
    name: "a client rule does not wait for a rule with the same verdict",
    rules: [
      { when: { header: { Subject: "*" } }, reject: "by header" },
      { when: { client: "192.0.2.0/24" }, reject: "by client" },
    ],
    hooks: "connect endOfHeaders",
    needs: "headers client",
    verdict: "reject",
    stage: "connect",
    reply: "550 5.7.1 by client",
  },
  {
    name: "it does wait for a tempfail",
    rules: [
      { when: { header: { Subject: "*" } }, tempfail: "by header" },
      { when: { client: "192.0.2.0/24" }, reject: "by client" },
    ],
    hooks: "endOfHeaders",
    needs: "headers client",
    verdict: "tempfail",
    stage: "endOfHeaders",
    reply: "451 4.7.1 by header",
  },
  {
    name: "everything else is refused by a last rule without when",
    rules: [{ when: { sender_domain: "example.net" }, accept: true }, { reject: "Closed" }],
    hooks: "mail",
    needs: "sender",
    verdict: "reject",
    stage: "mail",
    reply: "550 5.7.1 Closed",
  },
  // Combinations
  {
    name: "any: the early one decides early",
    rules: [{ when: { any: [{ header: { Subject: "x" } }, { sender: "sender@*" }] }, reject: true }],
    hooks: "mail endOfHeaders",
    needs: "headers sender",
    verdict: "reject",
    stage: "mail",
  },
  {
    name: "any: the late one decides late",
    rules: [{ when: { any: [{ header: { Subject: "test" } }, { sender: "x@*" }] }, reject: true }],
    hooks: "mail endOfHeaders",
    needs: "headers sender",
    verdict: "reject",
    stage: "endOfHeaders",
  },
  {
    name: "all: only its last data need a hook",
    rules: [{
      when: { all: [{ header: { Subject: "test" } }, { not: { client: "127.0.0.0/8" } }] },
      reject: true,
    }],
    hooks: "endOfHeaders",
    needs: "headers client",
    verdict: "reject",
    stage: "endOfHeaders",
  },
  {
    name: "keys side by side have all to hold",
    rules: [{ when: { helo: "client.example.org", client_host: "other.example" }, reject: true }],
    hooks: "helo",
    needs: "client helo",
    verdict: "continue",
  },
  // Recipients that differ
  {
    name: "a mail to postmaster passes, the client's other recipients do not",
    rules: [{ when: { recipient: "postmaster@*" }, accept: true }, {
      when: { client: "192.0.2.1" },
      reject: "No",
    }],
    mail: TO_THREE,
    hooks: "rcpt data",
    needs: "recipients client",
    verdict: "accept",
    stage: "data",
    refused: ["<anna@example.com> 550 5.7.1 No", "<bob@example.com> 550 5.7.1 No"],
    recipients: ["<postmaster@example.com>"],
  },
  {
    name: "a discard for one recipient leaves the mail to the others",
    rules: [{ name: "hole", when: { recipient: "bob@*" }, discard: true }],
    mail: TO_THREE,
    hooks: "data endOfMessage",
    needs: "recipients",
    edits: "removeRecipient",
    verdict: "continue",
    recipients: ["<anna@example.com>", "<postmaster@example.com>"],
    logged: [{ rule: "hole", stage: "endOfMessage", recipient: "bob@example.com" }],
  },
  {
    name: "a discard for all recipients is one for the mail",
    rules: [{ when: { recipient_domain: "example.com" }, discard: true }],
    mail: TO_THREE,
    hooks: "data endOfMessage",
    needs: "recipients",
    edits: "removeRecipient",
    verdict: "discard",
    stage: "data",
    logged: [{ rule: "rule 1", stage: "data" }],
  },
  {
    name: "the same from an MTA too old for DATA",
    rules: [{ when: { recipient_domain: "example.com" }, discard: true }],
    mail: TO_THREE,
    run: { version: 3 },
    hooks: "data endOfMessage",
    needs: "recipients",
    edits: "removeRecipient",
    verdict: "discard",
    stage: "endOfMessage",
  },
  {
    name: "after RCPT an accept for one recipient does not save the mail for another",
    rules: [{ when: { recipient: "postmaster@*" }, accept: true }, {
      when: { header: { Subject: "test" } },
      reject: "No",
    }],
    mail: TO_THREE,
    hooks: "data endOfHeaders",
    needs: "recipients headers",
    verdict: "reject",
    stage: "endOfHeaders",
    reply: "550 5.7.1 No",
  },
  {
    name: "edits for one recipient are for the mail, once",
    rules: [{ when: { recipient: ["anna@*", "bob@*"] }, add_header: { name: "X-Hit", value: "1" } }],
    mail: TO_THREE,
    hooks: "endOfMessage",
    needs: "recipients",
    edits: "addHeader",
    verdict: "continue",
    header: "Subject: test|X-Hit: 1",
    logged: [{ rule: "rule 1", stage: "endOfMessage" }],
  },
];

for (const row of ROWS) {
  Deno.test(`rules: ${row.name}`, async () => {
    const logged: Logged[] = [];
    const filter = load(row.rules, logged);
    assert.equal(hooksOf(filter), row.hooks);
    assert.equal(filter.needs?.join(" "), row.needs ?? "");
    assert.equal(filter.edits?.join(" "), row.edits ?? "");
    let done = false;
    const { connect } = filter;
    if (connect !== undefined) {
      filter.connect = async (client, context) => {
        const verdict = await connect(client, context);
        done = verdict?.kind === "accept";
        return verdict;
      };
    }
    const run = await runFilter(filter, row.mail, row.run);
    assert.equal(done, row.verdict === "done");
    if (done) assert.notEqual(run.mail, undefined);
    else assert.equal(run.verdict, row.verdict);
    if (row.stage !== undefined) assert.equal(run.stage, row.stage);
    if (row.reply !== undefined) assert.equal(run.reply, row.reply);
    assert.deepEqual(run.refused.map(({ recipient, reply }) => `${recipient} ${reply}`), row.refused ?? []);
    if (row.recipients !== undefined) assert.deepEqual(run.mail?.recipients, row.recipients);
    if (row.header !== undefined) {
      assert.equal(run.message?.split("\r\n\r\n")[0].replaceAll("\r\n", "|"), row.header);
    }
    assert.equal(run.mail?.quarantine, row.quarantine);
    if (row.logged !== undefined) assert.deepEqual(logged, row.logged);
  });
}

Deno.test("rules: nothing of one mail is left for the next", async () => {
  const filter = load([{ when: { header: { Subject: "bad" } }, reject: true }, {
    when: { size: { over: 60 } },
    reject: true,
  }]);
  for (
    const [subject, verdict] of [["bad", "reject"], ["good", "continue"], ["bad", "reject"], [
      "fine",
      "continue",
    ]]
  ) {
    const run = await runFilter(filter, { message: `Subject: ${subject}\n\n${"x".repeat(30)}\n` });
    assert.equal(run.verdict, verdict, subject);
  }
});
