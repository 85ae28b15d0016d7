import assert from "node:assert/strict";
import { parseOptions } from "./options.ts";

Deno.test("footer options: defaults", () => {
  assert.deepEqual(parseOptions({ text: "one\r\ntwo & three\n\n" }), {
    lines: ["one", "two & three"],
    htmlLines: ["<p>one<br>", "two &amp; three</p>"],
    header: "X-Footer",
    only: undefined,
    dkim: "leave",
    once: true,
  });
});

Deno.test("footer options: a mistake is named with its value and what was expected", () => {
  const rows: readonly (readonly [options: unknown, message: RegExp])[] = [
    [{}, /text is missing: .*expected string/],
    [{ text: "" }, /text is "": expected a text that is not blank/],
    [{ text: " \n " }, /expected a text that is not blank/],
    [{ text: 5 }, /text is 5: .*expected string/],
    [{ text: "a\u0000b" }, /text is "a\\u0000b": expected text without control characters/],
    [{ text: "\ud800" }, /expected text without control characters/],
    [{ text: "x".repeat(20_000) }, /text is "x{59}…: expected at most 16384 characters/],
    [{ text: "x".repeat(999) }, /line 1 of text has 999 bytes in a mail, expected at most 998 .*break it/],
    [{ text: "a", html: `<p>\n${"\u4e2d".repeat(200)}` }, /line 2 of html has 1600 bytes/],
    [{ text: "a", header: "X Footer" }, /header is "X Footer": expected a header field name/],
    [{ text: "a", header: "Content-Type" }, /header is "Content-Type": expected a header field name/],
    [
      { text: "a", header: true },
      /header is true: expected a header field name, such as "X-Footer", or false/,
    ],
    [{ text: "a", only: "example.org" }, /only is "example.org": .*expected array/],
    [{ text: "a", only: [] }, /only is \[\]: expected at least one domain/],
    [
      { text: "a", only: ["ok.example", "anna@example.org"] },
      /only\.1 is "anna@example.org": expected a domain/,
    ],
    [{ text: "a", dkim: "break" }, /dkim is "break": .*"leave"\|"modify"/],
    [{ text: "a", once: "yes" }, /once is "yes": .*expected boolean/],
    [{ text: "a", txt: "b" }, /unknown option "txt"; expected only text, html, header, only, dkim, once/],
    [undefined, /options is missing/],
  ];
  for (const [options, message] of rows) {
    assert.throws(() => parseOptions(options), (error) => {
      assert(error instanceof TypeError);
      assert.match(error.message, /^Cannot use the options of the footer filter: /);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("footer options: an indent is no place to break a line", () => {
  const { lines } = parseOptions({ text: `  ${"x".repeat(90)} y` });
  assert.deepEqual(lines, [`  ${"x".repeat(90)}`, "y"]);
});
