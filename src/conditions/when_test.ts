// From YAML to a condition: what the newer keys take, what is refused and with which words. The others have their rows in
// filters/rules/options_test.ts, where the words are seen in place.
import assert from "node:assert/strict";
import { parse } from "@std/yaml";
import { z } from "zod";
import { when } from "./when.ts";

/** What is wrong with a `when`, one line each: where it is, and what is said. */
function problems(value: unknown): string[] {
  const { error } = when.safeParse(value);
  return error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
}

const WRONG: readonly (readonly [yaml: string, ...problems: string[]])[] = [
  ["{ authenticated: yes please }", 'authenticated: is "yes please", expected true or false'],
  ["{ authenticated: }", "authenticated: is empty, expected true or false"],
  ["{ tls: 1.3 }", "tls: is 1.3, expected true or false"],
  ["{ daemon: [] }", "daemon: is an empty list, expected at least one pattern"],
  ["{ daemon: [MTA, 7] }", "daemon.1: is 7, expected a pattern in quotes"],
  ["{ macro: auth_type }", 'macro: is "auth_type", expected a map from macro name to pattern'],
  ["{ macro: {} }", "macro: is empty, expected a map from macro name to pattern"],
  ["{ macro: { '{auth_type}': } }", "macro.{auth_type}: is empty, expected a pattern"],
  [
    "{ macro: { '{auth_type}': [PLAIN, /x/y] } }",
    'macro.{auth_type}.1: "/x/y" has the flags "y", expected only flags out of i, m, s, u',
  ],
  [
    "{ macro: { '{rcpt_addr}': a@x } }",
    'macro.{rcpt_addr}: "{rcpt_addr}" is another one for each recipient; use recipient or recipient_domain',
  ],
  [
    "{ macro: { rcpt_mailer: error } }",
    'macro.rcpt_mailer: "rcpt_mailer" is another one for each recipient; use recipient or recipient_domain',
  ],
  ...["a b", "a,b", "{a", "{{a}}", "{}", "naïve"].map((name) =>
    [
      `{ macro: { '${name}': x } }`,
      `macro.${name}: "${name}" is not the name of a macro: expected one letter, or a name in braces such as "{auth_type}"`,
    ] as const
  ),
  [
    "{ size: { over: 1e3B } }",
    'size.over: is "1e3B", expected a number of bytes or a size such as "512KiB" or "10MiB"',
  ],
  [
    "{ not: { any: [{ tls: 1 }, { client: [::1, x] }] } }",
    "not.any.0.tls: is 1, expected true or false",
    'not.any.1.client.1: "x" expected an IP address or network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
  ],
];

for (const [yaml, ...expected] of WRONG) {
  Deno.test(`when: ${yaml}`, () => assert.deepEqual(problems(parse(yaml)), expected));
}

Deno.test("when: macros by name, with or without braces", () => {
  const names = (yaml: string) => {
    const condition = when.parse(parse(yaml));
    return (condition.kind === "all" ? condition.of : [condition]).map((leaf) =>
      "name" in leaf ? leaf.name : leaf.kind
    );
  };
  assert.deepEqual(names("{ macro: { '{auth_type}': x, i: x, _: x, '{i}': y } }"), [
    "auth_type",
    "i",
    "_",
    "i",
  ]);
});

Deno.test("when: control characters stay out of messages", () => {
  const [problem] = problems({ helo: "/(\u001b[31m\n/" });
  assert.match(problem, /^helo: "\/\(\\x1b\[31m\\n\/" Invalid regular expression: [ -~]*$/);
  assert.match(problems({ macro: { "\u202e": "x" } })[0], /: "\\u\{202e\}" is not the name of a macro/);
});

Deno.test("when: no more levels and conditions than can be worked off", () => {
  const nested = (levels: number) => {
    let value: unknown = { tls: true };
    for (let level = 1; level < levels; level++) value = level % 2 ? { not: value } : { any: [value] };
    return value;
  };
  assert.deepEqual(problems(nested(32)), []);
  assert.deepEqual(problems(nested(33)), [": is nested more than 32 levels deep"]);
  assert.deepEqual(problems(nested(100_000)), [": is nested more than 32 levels deep"]);
  const many = (count: number) => ({ any: Array.from({ length: count - 1 }, () => ({ tls: true })) });
  assert.deepEqual(problems(many(10_000)), []);
  assert.deepEqual(problems(many(10_001)), [": has more than 10000 conditions"]);
  // A few lines, thirty levels, a thousand million conditions.
  const lines = Array.from(
    { length: 30 },
    (_, level) => `- &l${level} { any: [*l${level - 1}, *l${level - 1}] }`,
  );
  const doubling = parse(["- &l-1 { tls: true }", ...lines].join("\n")) as unknown[];
  assert.deepEqual(problems(doubling.at(-1)), [": has more than 10000 conditions"]);
  const circle: Record<string, unknown> = { tls: true };
  circle.not = circle;
  assert.deepEqual(problems(circle), [": is nested more than 32 levels deep"]);
});

Deno.test("the JSON Schema of when takes one value or a list, and refers to itself", () => {
  const schema = z.toJSONSchema(when, { io: "input" }) as {
    $defs: Record<string, { properties: Record<string, unknown> }>;
  };
  const { client, all, not } = schema.$defs.when.properties as Record<string, Record<string, unknown>>;
  assert.deepEqual(client.anyOf, [{ type: "string" }, {
    type: "array",
    items: { type: "string" },
    minItems: 1,
  }]);
  assert.deepEqual(all.items, { $ref: "#/$defs/when" });
  assert.equal(not.$ref, "#/$defs/when");
});
