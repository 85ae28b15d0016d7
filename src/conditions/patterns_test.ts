// Patterns and networks: what they match, what is refused, and that no text makes them slow.
import assert from "node:assert/strict";
import { inNetworks, parseNetwork } from "./networks.ts";
import { MAX_GLOB_TEXT, MAX_PATTERN, MAX_REGEX_TEXT, parsePattern } from "./patterns.ts";

const GLOBS: readonly (readonly [glob: string, yes: readonly string[], no: readonly string[]])[] = [
  ["abc", ["abc", "ABC"], ["ab", "abcd", "xabc", ""]],
  ["a*", ["a", "ab", "a\nb"], ["", "ba"]],
  ["*", ["", "anything"], []],
  ["*.example.org", [".example.org", "a.b.EXAMPLE.org"], ["example.org", "a.example.org."]],
  ["a?c", ["abc", "a*c"], ["ac", "abbc"]],
  ["*a*b*c", ["abc", "xxaxxbxxc", "abcabc"], ["acb", "abcx"]],
  ["a**b", ["ab", "axb"], ["a", "b"]],
  ["*.", ["."], ["", ".x"]],
  ["[ab]+(c)", ["[AB]+(C)"], ["ac", "aac"]],
  ["GRÜN*", ["grün", "Grüner"], ["grun"]],
];

Deno.test("globs", () => {
  for (const [glob, yes, no] of GLOBS) {
    const pattern = parsePattern(glob, false);
    for (const text of yes) assert.equal(pattern.matches(text), true, `${glob} should match ${text}`);
    for (const text of no) assert.equal(pattern.matches(text), false, `${glob} should not match ${text}`);
  }
});

Deno.test("a glob that would be endless as a regular expression ends", () => {
  const glob = parsePattern(`${"*a".repeat(MAX_PATTERN / 2 - 1)}*b`, false);
  assert.equal(glob.matches("a".repeat(5000)), false);
});

Deno.test("only so much of a text is looked at", () => {
  const regex = parsePattern("/end$/", false);
  assert.equal(regex.matches(`${" ".repeat(MAX_REGEX_TEXT - 3)}end`), true);
  assert.equal(regex.matches(`${" ".repeat(MAX_REGEX_TEXT - 2)}end`), false);
  const glob = parsePattern("*end", false);
  assert.equal(glob.matches(`${" ".repeat(MAX_GLOB_TEXT - 3)}end`), true);
  assert.equal(glob.matches(`${" ".repeat(MAX_GLOB_TEXT - 2)}end`), false);
});

Deno.test("regular expressions keep no state from one text to the next", () => {
  const pattern = parsePattern("/a/", false);
  for (let round = 0; round < 3; round++) assert.equal(pattern.matches("xa"), true);
});

Deno.test("expressions that can take too long are refused", () => {
  const slow = [
    "(a+)+",
    "(a*)*",
    "(?:a|a)*",
    "(?<n>a?b?)+",
    "(.*,){5}",
    "((ab+))+",
    "(a|b){2,}",
    "([)]a+)+",
    "(\\)+x)*",
    "(a{1,3})+",
    "(?:aa??)*",
    "a.*b.*c",
    "^.*.*.*x",
    "^a|.*b.*c",
    `^${"a?".repeat(30)}${"a".repeat(30)}`,
    `^${"(a|a)".repeat(30)}`,
    "(a|b){40}",
  ];
  for (const body of slow) {
    assert.throws(() => parsePattern(`/${body}/`, false), /could take too long on some texts/, body);
  }
  assert.throws(() => parsePattern("/^.*.*x/m", false), /could take too long/);
});

Deno.test("expressions that cannot are taken", () => {
  const quick = [
    "(abc)+",
    "(a|b)?",
    "(a+)?b",
    "(?:[a-z][0-9])*",
    "a+b",
    "^a+b+",
    "free.*money",
    "^(re|fwd?|aw):\\s*",
    "[(+)*]+",
    "\\(a+\\)",
    "(?=a+)b",
    "(x{3})+",
    "(a|b){3}",
    "[\\]+(]+",
    "a.{0,50}b.{0,50}c",
    Array.from({ length: 100 }, (_, number) => `word${number}`).join("|"),
  ];
  for (const body of quick) assert.ok(parsePattern(`/${body}/`, false), body);
});

Deno.test("the slowest expressions that are taken end on the worst texts", () => {
  for (const body of [".*x", "^.*.*x", "a{1,300}.{1,300}x", `^${"a?".repeat(26)}b`, "(a|a){16}b"]) {
    assert.equal(parsePattern(`/${body}/`, false).matches("a".repeat(MAX_REGEX_TEXT)), false, body);
  }
});

Deno.test("a pattern has a longest length", () => {
  assert.ok(parsePattern("a".repeat(MAX_PATTERN), false));
  assert.throws(() => parsePattern("a".repeat(MAX_PATTERN + 1), false), {
    name: "TypeError",
    message: "has 1001 characters, expected at most 1000",
  });
});

const NETWORKS:
  readonly (readonly [network: string, inside: readonly string[], outside: readonly string[]])[] = [
    ["192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], ["192.0.2.8", "::c000:207"]],
    ["192.0.2.0/25", ["192.0.2.0", "192.0.2.127"], ["192.0.2.128", "192.0.1.255"]],
    ["0.0.0.0/0", ["1.2.3.4", "::ffff:1.2.3.4"], ["::1", "2001:db8::1"]],
    ["::/0", ["::1", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]],
    ["2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::1", "2001:db9::"]],
    ["2001:DB8::1", ["2001:db8:0:0::1"], ["2001:db8::2"]],
    ["::ffff:192.0.2.0/120", ["192.0.2.200", "::ffff:192.0.2.200"], ["192.0.3.1"]],
    ["fe80::/10", ["fe80::1%eth0", "febf::1"], ["fec0::1"]],
    ["127.0.0.0/8", [], ["", "unix", "/run/socket", "localhost", "127.1.x", "[127.0.0.1]"]],
  ];

Deno.test("networks", () => {
  for (const [text, inside, outside] of NETWORKS) {
    const networks = [parseNetwork(text)];
    for (const address of inside) assert.equal(inNetworks(networks, address), true, `${address} in ${text}`);
    for (const address of outside) {
      assert.equal(inNetworks(networks, address), false, `${address} in ${text}`);
    }
    assert.equal(inNetworks(networks, undefined), false);
  }
});

Deno.test("what is no network is refused", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["10.1/16", /^TypeError: expected an IP address or network/],
    ["010.0.0.1", /^TypeError: expected an IP address or network/],
    ["0x7f.0.0.1", /^TypeError: expected an IP address or network/],
    ["fe80::1%eth0", /^TypeError: expected an IP address or network/],
    ["example.org", /^TypeError: expected an IP address or network/],
    ["", /^TypeError: expected an IP address or network/],
    ["10.0.0.0/8/8", /^TypeError: expected an IP address or network/],
    ["10.0.0.0/", /prefix length "", expected 0 to 32/],
    ["10.0.0.0/+8", /prefix length "\+8", expected 0 to 32/],
    ["::/129", /prefix length "129", expected 0 to 128/],
    ["2001:db8::1/64", /has bits set after the first 64; write 2001:db8::\/64/],
  ];
  for (const [text, message] of rows) assert.throws(() => parseNetwork(text), message, text);
});
