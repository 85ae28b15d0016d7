import assert from "node:assert/strict";
import { conditionText } from "./condition_text.ts";
import { ALWAYS } from "./condition.ts";
import { conditionOf } from "./test_facts.ts";

const ROWS: readonly (readonly [when: unknown, text: string])[] = [
  [{ client: "192.0.2.0/24", not: { authenticated: true } }, "client in 192.0.2.0/24 and not authenticated"],
  [{ client: ["::ffff:192.0.2.7", "2001:DB8::/32"] }, "client in 192.0.2.7, 2001:db8::/32"],
  [{ client: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] }, "client in 10.0.0.1, 10.0.0.2, 10.0.0.3"],
  [
    { client: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"] },
    "client in 10.0.0.1, 10.0.0.2, 10.0.0.3, 2 more",
  ],
  [{ client_host: "*.dyn.example", helo: "x" }, 'client host matches "*.dyn.example" and helo matches "x"'],
  [{ daemon: "MSA", tls: true, authenticated: false }, 'daemon matches "MSA" and tls and not authenticated'],
  [{ sender: ["<>", "a@x"] }, 'sender matches "<>", "a@x"'],
  [{ sender_domain: "/a|b/" }, 'sender domain matches "/a|b/"'],
  [
    { any: [{ recipient: "a@x" }, { recipient_domain: "y" }] },
    'recipient matches "a@x" or recipient domain matches "y"',
  ],
  [{ macro: { i: "4*" } }, 'macro {i} matches "4*"'],
  [{ macro: { auth_type: "PLAIN" } }, 'macro {auth_type} matches "PLAIN"'],
  [{ header: { Subject: "/money/i" } }, 'header Subject matches "/money/i"'],
  [{ header_missing: ["Date", "From"] }, "without header Date, From"],
  [{ size: { over: 1000, under: "10MiB" } }, "size over 1000B and size under 10MiB"],
  [{ not: { all: [{ tls: true }, { size: { over: 1 } }] } }, "not (tls and size over 1B)"],
  [
    { all: [{ any: [{ tls: true }, { authenticated: true }] }], size: { over: 0 } },
    "size over 0B and (tls or authenticated)",
  ],
  [{ not: { any: [{ all: [{ tls: true }] }] } }, "not tls"],
  [
    { any: [{ any: [{ any: [{ tls: true }, { daemon: "x" }] }] }, { tls: false }] },
    '(tls or daemon matches "x") or not tls',
  ],
];

Deno.test("conditions in words", () => {
  for (const [when, text] of ROWS) assert.equal(conditionText(conditionOf(when)), text);
  assert.equal(conditionText(ALWAYS), "always");
  assert.equal(conditionText({ kind: "not", of: { kind: "any", of: [] } }), "not never");
});

Deno.test("words of a condition stay on one line, and short", () => {
  assert.equal(
    conditionText(conditionOf({ header: { Subject: "a\n\u001b[31m\u202e*" } })),
    'header Subject matches "a\\n\\x1b[31m\\u{202e}*"',
  );
  let deep: unknown = { helo: "x".repeat(50) };
  for (let level = 0; level < 6; level++) {
    deep = { all: [deep, { tls: true }, deep, { tls: false }, { tls: true }] };
  }
  const text = conditionText(conditionOf(deep));
  assert.equal(text.length, 401);
  assert.ok(text.endsWith("…"));
});
