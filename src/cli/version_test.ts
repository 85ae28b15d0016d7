import assert from "node:assert/strict";
import { isOlder, OLDEST_DENO, VERSION } from "./version.ts";

Deno.test("VERSION is the version in deno.json", async () => {
  const text = await Deno.readTextFile(new URL("../../deno.json", import.meta.url));
  assert.equal(/^ {2}"version": "(.+)",$/m.exec(text)?.[1], VERSION);
});

Deno.test("isOlder() compares number by number", () => {
  for (const [a, b] of [["2.9.4", "2.9.5"], ["2.9.5", "2.10.0"], ["1.46.3", "2.0.0"], ["2.9", "2.9.1"]]) {
    assert.ok(isOlder(a, b), `${a} ${b}`);
    assert.ok(!isOlder(b, a), `${b} ${a}`);
  }
  assert.ok(!isOlder("2.9.5", "2.9.5"));
  assert.ok(!isOlder("2.9.6-rc.1+abc", "2.9.5"));
  assert.ok(!isOlder(Deno.version.deno, OLDEST_DENO));
});
