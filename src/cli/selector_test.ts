import assert from "node:assert/strict";
import { HeaderList } from "../filter/mod.ts";
import { selectorOf } from "./selector.ts";
import { conditionOf, factsAt } from "../conditions/test_facts.ts";

Deno.test("the selector of a condition says what it reads", () => {
  const { needs, macros, text } = selectorOf(conditionOf({
    client: "192.0.2.0/24",
    macro: { "{rep}": "bad" },
    any: [{ size: { over: "1MiB" } }, { authenticated: true }, { authenticated: false, client: "192.0.2.1" }],
  }));
  assert.deepEqual([...needs], ["client", "sender", "headers", "body"]);
  assert.deepEqual(macros, ["{rep}", "{auth_authen}"]);
  assert.equal(
    text,
    'client in 192.0.2.0/24 and macro {rep} matches "bad" and (size over 1MiB or authenticated or ' +
      "(client in 192.0.2.1 and not authenticated))",
  );
});

Deno.test("the selector looks at the header only when there is one to look at", () => {
  const selector = selectorOf(conditionOf({ recipient: "b@x", header: { Subject: "*" } }));
  let looks = 0;
  const at = (stage: "rcpt" | "data" | "endOfHeaders", recipients: readonly string[]) =>
    selector.evaluate({
      ...factsAt(stage, { recipients }),
      get headers() {
        looks++;
        return new HeaderList([]);
      },
    });
  assert.deepEqual([at("rcpt", ["a@x"]), at("rcpt", ["a@x", "b@x"]), at("data", ["a@x", "b@x"])], [
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(looks, 0);
  assert.equal(at("endOfHeaders", ["a@x", "b@x"]), false);
  assert.equal(looks, 1);
  assert.equal(at("data", ["a@x"]), false);
});
