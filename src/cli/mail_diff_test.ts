import assert from "node:assert/strict";
import { applyPatch } from "diff";
import { colorDiff, mailDiff } from "./mail_diff.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("mailDiff() gives a patch that makes the new mail from the old", () => {
  const before = "A: 1\r\nB: 2\r\n\r\nGrüße\r\nend\r\n";
  const after = "A: 1\r\nC: 3\r\n\r\nGrüße\r\nmore\r\nend\r\n";
  const patch = mailDiff("a.eml", bytes(before), bytes(after));
  assert.equal(applyPatch(before.replaceAll("\r\n", "\n"), patch), after.replaceAll("\r\n", "\n"));
  assert.equal(mailDiff("a.eml", bytes(before), bytes(before)), "");
});

Deno.test("mailDiff() shows bytes that are not UTF-8, and no control characters", () => {
  const before = Uint8Array.of(0x41, 0x3a, 0x20, 0xe4, 0x0d, 0x0a, 0x0d, 0x0a);
  const after = Uint8Array.of(0x41, 0x3a, 0x20, 0xf6, 0x1b, 0x09, 0x0d, 0x0a, 0x0d, 0x0a);
  assert.match(
    mailDiff("a\x1b\n", before, after),
    /^--- .*\n\+\+\+ .*\n@@ .*\n-A: ä\n\+A: ö\\x1b\t\n/,
  );
});

Deno.test("mailDiff() gives up on mails that have next to nothing in common", () => {
  const mail = (word: string) => bytes(Array.from({ length: 4000 }, (_, i) => `${word}${i}\r\n`).join(""));
  assert.match(
    mailDiff("a", mail("x"), mail("y")),
    /^more than 2000 lines differ: \d+ bytes became \d+ bytes\n$/,
  );
});

Deno.test("colorDiff() colours what was added, removed, and where", () => {
  assert.equal(
    colorDiff("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n"),
    "\x1b[1m--- a\x1b[0m\n\x1b[1m+++ b\x1b[0m\n\x1b[36m@@ -1 +1 @@\x1b[0m\n\x1b[31m-x\x1b[0m\n\x1b[32m+y\x1b[0m\n z\n",
  );
});
