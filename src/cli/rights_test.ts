import assert from "node:assert/strict";
import { threadSource } from "./rights.ts";

Deno.test("a thread reads the program's source, and what stands in for JSR's packages if they are files", () => {
  const [source, ...none] = threadSource(false, "jsr:@std/yaml@1.2.0");
  assert.match(source, /\/src$/);
  assert.deepEqual(none, []);
  assert.deepEqual(threadSource(false, "https://jsr.io/@std/yaml/1.2.0/mod.ts"), [source]);
  assert.deepEqual(threadSource(false, "file:///srv/deploy/npm/std_yaml.ts"), [source, "/srv/deploy/npm"]);
  assert.deepEqual(threadSource(true, "jsr:@std/yaml@1.2.0"), []);
});
