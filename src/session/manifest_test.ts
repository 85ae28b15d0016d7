import assert from "node:assert/strict";
import test from "node:test";
import type { OptionsResult, OptionsSchema } from "../filter/mod.ts";
import { checkOptions, FilterError, readManifest, trimManifest } from "./manifest.ts";

function schema(validate: (value: unknown) => OptionsResult | Promise<OptionsResult>): OptionsSchema {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

test("readManifest() gives plain data and the schema apart", () => {
  const options = schema((value) => ({ value }));
  const read = readManifest({
    name: "mark",
    version: "1.2.3",
    options,
    permissions: { net: ["a.example"], env: undefined },
  });
  assert.deepEqual(read?.data, { name: "mark", version: "1.2.3", permissions: { net: ["a.example"] } });
  assert.equal(read?.options, options);
  assert.equal(readManifest(undefined), undefined);
  // arktype's schemas are functions.
  const callable = Object.assign(() => {}, options);
  assert.equal(readManifest({ name: "a", version: "1", options: callable })?.options, callable);
});

test("readManifest() says what is wrong", () => {
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [7, /^manifest is 7, expected \{ name, version, options\?, permissions\? \}$/],
    [[], /^manifest is a list, expected/],
    [{ version: "1" }, /^manifest\.name is nothing, expected text of at most 200 characters$/],
    [{ name: "", version: "1" }, /^manifest\.name is "", expected text/],
    [{ name: "x".repeat(201), version: "1" }, /^manifest\.name is "x+…", expected text/],
    [{ name: "a", version: 1 }, /^manifest\.version is 1, expected text/],
    [{ name: "a", version: "1", permisions: {} }, /^manifest has "permisions"; did you mean permissions\?$/],
    [
      { name: "a", version: "1", zebra: 1 },
      /^manifest has "zebra"; allowed are name, version, options, permissions$/,
    ],
    [
      { name: "a", version: "1", options: { text: "string" } },
      /^manifest\.options is a map, expected a Standard Schema/,
    ],
    [
      { name: "a", version: "1", permissions: true },
      /^manifest\.permissions is true, expected an object such as/,
    ],
    [
      { name: "a", version: "1", permissions: { net: true } },
      /^manifest\.permissions\.net is true, expected a list/,
    ],
    [
      { name: "a", version: "1", permissions: { nett: [] } },
      /^manifest\.permissions has "nett"; did you mean net\?$/,
    ],
    [
      { name: "a", version: "1", permissions: { read: [7] } },
      /^manifest\.permissions\.read is a list, expected a list of/,
    ],
    [
      { name: "a", version: "1", permissions: { read: Array(101).fill("/x") } },
      /^manifest\.permissions\.read is a list, expected a list of at most 100 texts$/,
    ],
  ];
  for (const [value, expected] of rows) {
    assert.throws(
      () => readManifest(value),
      (error) => error instanceof FilterError && expected.test(error.message),
    );
  }
});

test("trimManifest() takes what a sandbox says for what it is worth", () => {
  const good = { name: "a", version: "1", permissions: { net: ["a.example"] } };
  assert.deepEqual(trimManifest({ ...good, more: 1, options: 7 }), good);
  for (
    const bad of [undefined, null, 7, "a", [], {}, { ...good, name: 7 }, { ...good, permissions: { x: 1 } }]
  ) {
    assert.equal(trimManifest(bad), undefined);
  }
});

test("checkOptions() hands on what the schema makes of the options", async () => {
  const given = { text: "a" };
  assert.equal(await checkOptions(undefined, given), given);
  const filled = schema((value) => ({ value: { size: 3, ...value as object } }));
  assert.deepEqual(await checkOptions(filled, given), { size: 3, text: "a" });
  const later = schema((value) => Promise.resolve({ value }));
  assert.deepEqual(await checkOptions(later, given), given);
});

test("checkOptions() lists the mistakes, each on a line with its place", async () => {
  const mistakes = schema(() => ({
    issues: [
      { message: "expected text", path: ["rules", 0, { key: "when" }] },
      { message: "too\nlong\u001b[31m" },
      { message: "odd key", path: ["a\nb", Symbol("s")] },
    ],
  }));
  await assert.rejects(checkOptions(mistakes, {}), {
    name: "FilterError",
    message:
      "options.rules[0].when: expected text\noptions: too\\nlong\\x1b[31m\noptions.a\\nb.Symbol(s): odd key",
  });
  const many = schema(() => ({ issues: Array.from({ length: 30 }, () => ({ message: "no" })) }));
  await assert.rejects(checkOptions(many, {}), /^FilterError: (?:options: no\n){20}and 10 more$/);
  await assert.rejects(checkOptions(schema(() => ({ value: 7 })), {}), /gave 7, expected an object/);
});
