import assert from "node:assert/strict";
import { LoadError } from "./error.ts";
import { isLoopback, parseUse, type Use } from "./specifier.ts";

Deno.test("parseUse() reads every kind of address", async (t) => {
  const rows: ReadonlyArray<readonly [string, Use]> = [
    ["bundled:footer", { kind: "bundled", name: "footer" }],
    ["./filter.ts", { kind: "path", path: "./filter.ts" }],
    ["../a b/filter.ts", { kind: "path", path: "../a b/filter.ts" }],
    ["/etc/millrace/f.ts", { kind: "path", path: "/etc/millrace/f.ts" }],
    ["C:\\filters\\f.ts", { kind: "path", path: "C:\\filters\\f.ts" }],
    ["https://Filters.Example/a/../f@2/mod.ts?x=1", {
      kind: "url",
      url: "https://filters.example/f@2/mod.ts?x=1",
    }],
    ["http://127.0.0.1:8000/f.ts", { kind: "url", url: "http://127.0.0.1:8000/f.ts" }],
    ["http://[::1]/f.ts", { kind: "url", url: "http://[::1]/f.ts" }],
    ["jsr:@a-b/c", { kind: "jsr", jsr: { scope: "a-b", name: "c", range: "", export: "." } }],
    ["jsr:/@ab/c@^1.2/x/y", { kind: "jsr", jsr: { scope: "ab", name: "c", range: "^1.2", export: "./x/y" } }],
    ["jsr:@ab/c/x", { kind: "jsr", jsr: { scope: "ab", name: "c", range: "", export: "./x" } }],
  ];
  for (const [text, expected] of rows) {
    await t.step(text, () => assert.deepEqual(parseUse(text), expected));
  }
});

Deno.test("parseUse() refuses the rest and says what to write", async (t) => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["", "it is empty; write https://"],
    ["filter.ts", "write ./filter.ts for a file"],
    ["bundled:", "write for example bundled:footer"],
    ["bundled:../x", "is not the name of a bundled filter"],
    ["file:///etc/f.ts", "without file:"],
    ["npm:left-pad", "publish it on JSR"],
    ["ftp://a/b.ts", '"ftp:" is not a way to load filters'],
    ["data:text/javascript,1", '"data:" is not a way'],
    ["http://filters.example/f.ts", "write https:"],
    ["http://127.0.0.1.example/f.ts", "write https:"],
    ["https://u:p@filters.example/f.ts", "user name or password"],
    ["https://", "not a well-formed URL"],
    ["https://filters.example/f.ts#a", 'leave out "#a"'],
    [`https://filters.example/${"x".repeat(3000)}`, "at most 2048 are taken"],
    ["jsr:std/yaml", "expected jsr:@scope/name"],
    ["jsr:@std", "expected jsr:@scope/name"],
    ["jsr:@std/a@1/../../x\u{202e}\n", "expected jsr:@scope/name"],
  ];
  for (const [text, reason] of rows) {
    await t.step(reason, () =>
      assert.throws(() => parseUse(text), (error) => {
        assert(error instanceof LoadError && error.kind === "use");
        assert(error.message.startsWith("Cannot use ") && error.message.includes(reason), error.message);
        assert.doesNotMatch(error.message, /[\n\u202e]/);
        return true;
      }));
  }
});

Deno.test("isLoopback() goes by the address, not by what it looks like", () => {
  for (
    const host of [
      "localhost",
      "LOCALHOST",
      "a.localhost",
      "127.0.0.1",
      "127.9",
      "0x7f.1",
      "[::1]",
      "0.0.0.0",
      "[::]",
    ]
  ) {
    assert(isLoopback(new URL(`http://${host}/`)), host);
  }
  for (
    const host of ["localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "notlocalhost", "128.0.0.1"]
  ) {
    assert(!isLoopback(new URL(`http://${host}/`)), host);
  }
});
