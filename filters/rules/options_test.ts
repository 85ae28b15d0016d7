// Wrong options, and the exact message that an administrator gets for each.
import assert from "node:assert/strict";
import { parse } from "@std/yaml";
import { parseOptions } from "./options.ts";

const START = "Cannot use the options of the rules filter: ";
const WHEN_KEYS =
  "client, client_host, daemon, helo, tls, authenticated, sender, sender_domain, recipient, recipient_domain, macro, " +
  "header, header_missing, size, all, any, not";
const RULE_KEYS = "name, when, reject, tempfail, discard, accept, quarantine, add_header";

/** The rules as YAML, and the message after its start. */
const ROWS: readonly (readonly [yaml: string, message: string])[] = [
  ["{}", 'key "rules": is missing, expected a list of rules'],
  ["rules:", 'key "rules": is empty, expected a list of rules'],
  ["rules: []", 'key "rules": is an empty list, expected a rule'],
  ["rules: { reject: true }", 'key "rules": is a map, expected a list of rules'],
  ["rules: [{ reject: true }]\nrule: 1", 'unknown key "rule"; expected only rules'],
  ["rules: [reject]", `rule 1: is "reject", expected a map with the keys ${RULE_KEYS}`],
  [
    "rules: [{ add_header: { name: A, value: b } }, { name: b, reject: true, on: x }]",
    `rule 2 ("b"): unknown key "on"; expected only ${RULE_KEYS}`,
  ],
  [
    "rules: [{ reject: true }, { accept: true }]",
    "rule 2: is never reached: rule 1 has no when, so it decides about all mail",
  ],
  // Actions
  [
    "rules: [{ name: nothing }]",
    'rule 1 ("nothing"): has no action, expected one of reject, tempfail, discard, accept, quarantine, add_header',
  ],
  ["rules: [{ reject: true, discard: true }]", "rule 1: has reject and discard, expected only one of them"],
  [
    "rules: [{ tempfail: true, quarantine: odd, add_header: { name: A, value: b } }]",
    "rule 1: has quarantine and add_header beside tempfail, but mail that is not delivered cannot be changed",
  ],
  ["rules: [{ name: 7, accept: true }]", 'rule 1, key "name": is 7, expected a text in quotes'],
  [
    "rules: [{ accept: false }]",
    'rule 1, key "accept": is false, expected true; leave the key out otherwise',
  ],
  [
    "rules: [{ reject: 550 }]",
    'rule 1, key "reject": is 550, expected true, a text, or a map with the keys code, enhanced, text',
  ],
  [
    "rules: [{ reject: { code: 451 } }]",
    'rule 1, key "reject.code": is 451, expected 500 to 599; for others use tempfail',
  ],
  [
    "rules: [{ tempfail: { code: 550 } }]",
    'rule 1, key "tempfail.code": is 550, expected 400 to 499; for others use reject',
  ],
  [
    'rules: [{ reject: { code: "550" } }]',
    'rule 1, key "reject.code": is "550", expected a number from 500 to 599',
  ],
  [
    "rules: [{ reject: { enhanced: 4.7.1 } }]",
    'rule 1, key "reject.enhanced": "4.7.1" is not an enhanced status code of the form 5.x.y (RFC 3463)',
  ],
  [
    "rules: [{ reject: { enhanced: 5.7 } }]",
    'rule 1, key "reject.enhanced": is 5.7, expected an enhanced status code such as "5.7.1" in quotes',
  ],
  [
    "rules: [{ reject: { text: [fine, größer] } }]",
    'rule 1, key "reject.text": Cannot make the reply: line "größer" has a control or non-ASCII character; ' +
    "only printable ASCII is allowed in an SMTP reply (RFC 5321 section 4.2), one array entry a line",
  ],
  [
    "rules: [{ reject: { msg: no } }]",
    'rule 1: unknown key "reject.msg"; expected only code, enhanced, text',
  ],
  ["rules: [{ quarantine: true }]", 'rule 1, key "quarantine": is true, expected a text in quotes'],
  [
    'rules: [{ quarantine: "a\\nb" }]',
    'rule 1, key "quarantine": "a\\nb" has a control character, expected one line of text',
  ],
  ["rules: [{ add_header: { name: X-A } }]", 'rule 1, key "add_header.value": is missing, expected a text'],
  [
    "rules: [{ add_header: [{ name: X-A, value: b }, { name: X A, value: b }] }]",
    'rule 1, key "add_header[2].name": "X A" is not a header field name: ' +
    "expected 1 to 76 printable ASCII characters without the colon",
  ],
  [
    "rules: [{ add_header: { name: X-A, value: b, at: 2 } }]",
    'rule 1, key "add_header.at": is 2, expected "end", "top" or "below_received"',
  ],
  // Conditions
  [
    "rules: [{ when:, accept: true }]",
    `rule 1, key "when": is empty, expected a map with the keys ${WHEN_KEYS}`,
  ],
  [
    "rules: [{ when: {}, accept: true }]",
    'rule 1, key "when": is empty, expected a condition; leave it out to match all mail',
  ],
  [
    "rules: [{ when: { from: x }, accept: true }]",
    `rule 1: unknown key "when.from"; expected only ${WHEN_KEYS}`,
  ],
  [
    "rules: [{ when: { any: [] }, accept: true }]",
    'rule 1, key "when.any": is an empty list, expected a condition',
  ],
  [
    "rules: [{ when: { any: [{ helo: a }, { not: { client: 300.1.1.1 } }] }, accept: true }]",
    'rule 1, key "when.any[2].not.client": "300.1.1.1" expected an IP address or network, such as 192.0.2.7, ' +
    "192.0.2.0/24 or 2001:db8::/32",
  ],
  [
    "rules: [{ when: { client: [10.0.0.0/8, 10.0.0.1/8] }, accept: true }]",
    'rule 1, key "when.client[2]": "10.0.0.1/8" has bits set after the first 8; write 10.0.0.0/8',
  ],
  [
    "rules: [{ when: { client: 10.0.0.0/33 }, accept: true }]",
    'rule 1, key "when.client": "10.0.0.0/33" has the prefix length "33", expected 0 to 32',
  ],
  [
    "rules: [{ when: { client: 1 }, accept: true }]",
    'rule 1, key "when.client": is 1, expected an IP address or network in quotes',
  ],
  [
    "rules: [{ when: { helo: [] }, accept: true }]",
    'rule 1, key "when.helo": is an empty list, expected at least one pattern',
  ],
  [
    'rules: [{ when: { helo: "" }, accept: true }]',
    'rule 1, key "when.helo": "" is an empty pattern; the null sender is "<>", any text is "*"',
  ],
  [
    "rules: [{ when: { helo: /a }, accept: true }]",
    'rule 1, key "when.helo": "/a" begins like a regular expression, expected /expression/ or /expression/i',
  ],
  [
    "rules: [{ when: { helo: /a/g }, accept: true }]",
    'rule 1, key "when.helo": "/a/g" has the flags "g", expected only flags out of i, m, s, u',
  ],
  [
    "rules: [{ when: { sender: example.org }, accept: true }]",
    'rule 1, key "when.sender": "example.org" has no "@"; for a whole domain use the key that ends in _domain',
  ],
  [
    'rules: [{ when: { recipient_domain: "@example.org" }, accept: true }]',
    'rule 1, key "when.recipient_domain": "@example.org" has an "@", expected only the domain, such as "example.org" or "*.example.org"',
  ],
  [
    "rules: [{ when: { header: Subject }, accept: true }]",
    'rule 1, key "when.header": is "Subject", expected a map from field name to pattern',
  ],
  [
    "rules: [{ when: { header: {} }, accept: true }]",
    'rule 1, key "when.header": is empty, expected a map from field name to pattern',
  ],
  [
    'rules: [{ when: { header: { "Subject:": x } }, accept: true }]',
    'rule 1, key "when.header.Subject:": "Subject:" is not a header field name: ' +
    "expected 1 to 76 printable ASCII characters without the colon",
  ],
  [
    "rules: [{ when: { size: 10 }, accept: true }]",
    'rule 1, key "when.size": is 10, expected a map with the keys over, under',
  ],
  [
    "rules: [{ when: { size: {} }, accept: true }]",
    'rule 1, key "when.size": is empty, expected over, under or both',
  ],
  [
    "rules: [{ when: { size: { over: 10MB } }, accept: true }]",
    'rule 1, key "when.size.over": is "10MB", expected a number of bytes or a size such as "512KiB" or "10MiB"',
  ],
  // Several at once
  [
    "rules: [{ reject: { code: 1 }, when: { helo: 1 } }, { name: second, accept: 1 }]",
    '3 mistakes\n- rule 1, key "when.helo": is 1, expected a pattern in quotes\n' +
    '- rule 1, key "reject.code": is 1, expected 500 to 599; for others use tempfail\n' +
    '- rule 2 ("second"), key "accept": is 1, expected true; leave the key out otherwise',
  ],
];

for (const [yaml, message] of ROWS) {
  Deno.test(`options of rules: ${yaml}`, () => {
    assert.throws(() => parseOptions(parse(yaml)), { name: "TypeError", message: START + message });
  });
}

Deno.test("options of rules: a regular expression that is none, or endlessly slow", () => {
  const load = (helo: string) => () => parseOptions({ rules: [{ when: { helo }, accept: true }] });
  assert.throws(
    load("/(a/"),
    /^TypeError: Cannot use .*: rule 1, key "when\.helo": "\/\(a\/" Invalid regular expression: /,
  );
  assert.throws(
    load("/(a+)+b/"),
    /rule 1, key "when\.helo": "\/\(a\+\)\+b\/" could take too long on some texts/,
  );
});

Deno.test("options of rules: no more than twenty mistakes are told", () => {
  const rules = Array.from({ length: 30 }, () => ({}));
  assert.throws(() => parseOptions({ rules }), (error: Error) => {
    const lines = error.message.split("\n");
    return lines.length === 22 && lines[0] === `${START}30 mistakes` && lines[21] === "- and 10 more";
  });
});

Deno.test("options of rules: the sample in the README is right", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", import.meta.url));
  const samples = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml]) => parse(yaml));
  assert.ok(samples.length > 0, "no sample found");
  for (const sample of samples as { filters: { use: string; options: unknown }[] }[]) {
    for (const { use, options } of sample.filters) {
      assert.equal(use, "bundled:rules");
      assert.ok(parseOptions(options).length > 1);
    }
  }
});
