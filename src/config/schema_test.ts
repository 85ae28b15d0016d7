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
  readonly items?: Schema;
};

Deno.test("configJsonSchema() describes every key and refuses unknown ones", () => {
  const walk = (schema: Schema & { readonly additionalProperties?: unknown }, path: string) => {
    if (schema.properties) assert.equal(schema.additionalProperties, false, path);
    for (const [key, inner] of Object.entries(schema.properties ?? {})) {
      assert.ok(inner.description, `${path}.${key}`);
      walk(inner, `${path}.${key}`);
      if (inner.items) walk(inner.items, `${path}.${key}[]`);
    }
  };
  walk(configJsonSchema(), "");
});
