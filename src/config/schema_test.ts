import assert from "node:assert/strict";
import { configJsonSchema } from "./schema.ts";

const FILE = new URL("../../deploy/millrace.schema.json", import.meta.url);

Deno.test("deploy/millrace.schema.json is the JSON Schema of the configuration", async () => {
  assert.equal(
    await Deno.readTextFile(FILE),
    `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
    "the schema changed: `millrace schema > deploy/millrace.schema.json` writes the file anew",
  );
});

type Schema = {
  readonly description?: string;
  readonly properties?: Record<string, Schema>;
  readonly additionalProperties?: unknown;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly $ref?: string;
  readonly $defs?: Record<string, Schema>;
};

Deno.test("configJsonSchema() describes every key and refuses unknown ones", () => {
  const seen: string[] = [];
  const walk = (schema: Schema, path: string) => {
    if (schema.properties) assert.equal(schema.additionalProperties, false, path);
    for (const [key, inner] of Object.entries(schema.properties ?? {})) {
      seen.push(`${path}.${key}`);
      assert.ok(inner.description, `${path}.${key}`);
      walk(inner, `${path}.${key}`);
    }
    if (schema.items) walk(schema.items, `${path}[]`);
    for (const inner of schema.anyOf ?? []) walk(inner, path);
    for (const [name, inner] of Object.entries(schema.$defs ?? {})) walk(inner, `#${name}`);
  };
  walk(configJsonSchema(), "");
  for (const key of [".filters[].permissions.net", ".filters[].upstream", "#when.not", "#when.size.over"]) {
    assert.ok(seen.includes(key), key);
  }
});

Deno.test("configJsonSchema() has conditions once, for both kinds of entries and for themselves", () => {
  const { properties, $defs } = configJsonSchema() as Schema;
  const entries = properties!.filters.items!.anyOf!;
  assert.deepEqual(entries.map(({ properties }) => properties!.when.$ref), ["#/$defs/when", "#/$defs/when"]);
  const { not, all } = $defs!.when.properties!;
  assert.deepEqual([not.$ref, all.items], ["#/$defs/when", { $ref: "#/$defs/when" }]);
});
