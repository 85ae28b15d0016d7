import assert from "node:assert/strict";
import { asksFor, helpOf, readArgs, usageOf } from "./args.ts";
import { type CommandSpec, UsageError } from "./command.ts";

const SPEC: CommandSpec = {
  name: "try",
  summary: "Try it",
  operands: "MAIL.eml…",
  operandCount: [1, 3],
  options: [
    { name: "config", short: "c", value: "FILE", required: true, summary: "The file" },
    { name: "rcpt", value: "ADDRESS", many: true, summary: "A recipient" },
    { name: "from", value: "ADDRESS", summary: "The sender" },
    { name: "json", summary: "As JSON" },
  ],
  notes: "More.",
};

function refused(...args: string[]): string {
  try {
    readArgs(SPEC, args);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  throw new Error(`accepted: ${args.join(" ")}`);
}

Deno.test("readArgs() reads options in every spelling, and operands", () => {
  for (
    const args of [
      ["-c", "m.yaml", "a.eml", "7"],
      ["a.eml", "--config=m.yaml", "7"],
      ["a.eml", "7", "--config", "m.yaml"],
      ["-c=m.yaml", "--", "a.eml", "7"],
    ]
  ) {
    const given = readArgs(SPEC, args);
    assert.equal(given.value("config"), "m.yaml");
    assert.deepEqual(given.operands, ["a.eml", "7"]);
    assert.equal(given.has("json"), false);
    assert.deepEqual(given.values("rcpt"), []);
  }
  const given = readArgs(SPEC, ["-c", "1", "--json", "--rcpt", "a", "--rcpt=2", "--from=", "--", "--json"]);
  assert.equal(given.value("config"), "1");
  assert.equal(given.has("json"), true);
  assert.deepEqual(given.values("rcpt"), ["a", "2"]);
  assert.equal(given.value("from"), "");
  assert.deepEqual(given.operands, ["--json"]);
});

Deno.test("readArgs() says what is wrong, and what was meant", () => {
  assert.equal(refused("x.eml"), "--config FILE is missing");
  assert.equal(refused("-c"), "--config needs a value: --config FILE");
  assert.equal(refused("x.eml", "--config", "--json"), "--config needs a value: --config FILE");
  assert.equal(refused("-c", "a", "-c", "b", "x.eml"), "--config was given 2 times, once is enough");
  assert.equal(refused("-c", "m", "--jsn", "x"), 'unknown option "--jsn"; did you mean --json?');
  assert.equal(refused("-c", "m", "--recpt=a", "x"), 'unknown option "--recpt"; did you mean --rcpt?');
  assert.equal(
    refused("-c", "m", "-z", "x"),
    'unknown option "-z"; known are --config, --rcpt, --from, --json, --help, --version',
  );
  assert.equal(refused("-c", "m"), "MAIL.eml… is missing");
  assert.equal(refused("-c", "m", "1", "2", "3", "4"), '"4" is one argument too many: expected MAIL.eml…');
  assert.ok(!refused("-c", "m", "--\x1b[31m", "x").includes("\x1b"));
});

Deno.test("readArgs() only gives what the command has", () => {
  const given = readArgs(SPEC, ["-c", "m", "x"]);
  assert.throws(() => given.value("confg"), TypeError);
});

Deno.test("asksFor() finds help and version before the double dash only", () => {
  assert.ok(asksFor("help", ["x", "--help"]) && asksFor("help", ["-h"]) && asksFor("version", ["-V"]));
  assert.ok(!asksFor("help", ["x", "--", "--help"]) && !asksFor("version", ["-v"]));
});

Deno.test("helpOf() shows usage, options and notes", () => {
  assert.equal(usageOf(SPEC), "millrace try -c FILE [OPTIONS] MAIL.eml…");
  assert.equal(
    helpOf(SPEC),
    `Try it

Usage: millrace try -c FILE [OPTIONS] MAIL.eml…

Options:
  -c, --config FILE   The file
      --rcpt ADDRESS  A recipient (may be repeated)
      --from ADDRESS  The sender
      --json          As JSON
  -h, --help          Show this help
  -V, --version       Show the version

More.
`,
  );
});
