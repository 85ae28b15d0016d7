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
  const lists = macros.map(({ stage, names }) => [stage, new TextDecoder().decode(names)]);
  assert.deepEqual(lists, [[2, "i {rep} {auth_authen}"], [5, "i {rep}"], [6, "i {rep}"]]);
  assert.equal(
    text,
    'client in 192.0.2.0/24 and macro {rep} matches "bad" and (size over 1MiB or authenticated or ' +
      "(client in 192.0.2.1 and not authenticated))",
  );
});

Deno.test("the selector looks at the header only when there is one to look at", () => {
  const selector = selectorOf(conditionOf({ recipient: "b@x", header: { Subject: "*" } }));
  let looks = 0;
  const ask = selector.begin();
  const at = (stage: "rcpt" | "data" | "endOfHeaders", recipients: readonly string[]) =>
    ask({
      ...factsAt(stage, { recipients }),
      get headers() {
        looks++;
        return new HeaderList([]);
      },
    });
  assert.deepEqual([at("rcpt", ["a@x"]), at("rcpt", ["b@x"]), at("data", [])], [
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(looks, 0);
  assert.equal(at("endOfHeaders", []), false);
  assert.equal(looks, 1);
});
