import assert from "node:assert/strict";
import * as fc from "fast-check";
import { decodeArchive, encodeArchive } from "./archive.ts";
import { LoadError } from "./error.ts";
import type { GraphModule, ModuleGraph } from "./graph.ts";

const address = fc.webUrl({ withQueryParameters: true }).map((url) => new URL(url).href);
const source = fc.string({ unit: "grapheme", maxLength: 200 });
const module_: fc.Arbitrary<GraphModule> = fc.record({
  url: address,
  kind: fc.constantFrom("js" as const, "json" as const),
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => `sha256-${bytes.toHex()}`),
  source,
}, { noNullPrototype: true });
const graph: fc.Arbitrary<ModuleGraph> = fc.record({
  modules: fc.uniqueArray(module_, { selector: ({ url }) => url, minLength: 1, maxLength: 8 }),
  from: fc.array(address, { maxLength: 4 }),
}, { noNullPrototype: true }).map(({ modules, from }) => {
  const inOrder = modules.sort((a, b) => a.url < b.url ? -1 : 1);
  inOrder[0] = { ...inOrder[0], kind: "js" };
  const redirects = [...new Set(from)].sort().map((key) => [key, inOrder.at(-1)!.url]);
  return { entry: inOrder[0].url, modules: inOrder, redirects: Object.fromEntries(redirects) };
});

Deno.test("decodeArchive() gives back what encodeArchive() took, in any order", () => {
  fc.assert(fc.property(graph, (value) => {
    const bytes = encodeArchive(value);
    assert.deepEqual(decodeArchive(bytes), value);
    const shuffled = {
      redirects: Object.fromEntries(Object.entries(value.redirects).reverse()),
      modules: [...value.modules].reverse(),
      entry: value.entry,
    };
    assert.deepEqual(encodeArchive(shuffled), bytes);
  }));
});

Deno.test("decodeArchive() takes no other bytes for the same graph, and never fails otherwise", () => {
  fc.assert(fc.property(graph, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, change) => {
    const bytes = encodeArchive(value);
    bytes[at % bytes.length] ^= change;
    let decoded: ModuleGraph;
    try {
      decoded = decodeArchive(bytes);
    } catch (error) {
      assert(error instanceof LoadError && error.kind === "cache", String(error));
      return;
    }
    assert.deepEqual(encodeArchive(decoded), bytes);
    assert.notDeepEqual(decoded, value);
  }));
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assert.throws(() => decodeArchive(new TextEncoder().encode(JSON.stringify(value))), LoadError);
  }));
});

Deno.test("decodeArchive() refuses what does not hang together", async (t) => {
  const hash = `sha256-${"0".repeat(64)}`;
  const one = { url: "https://a.example/", kind: "js", hash, source: "" };
  const good = { format: "millrace archive 1", entry: one.url, redirects: {}, modules: [one] };
  const rows: Readonly<Record<string, unknown>> = {
    "another format": { ...good, format: "millrace archive 2" },
    "no such entry": { ...good, entry: "https://b.example/" },
    "an entry that is JSON": { ...good, modules: [{ ...one, kind: "json" }] },
    "a module twice": { ...good, modules: [one, one] },
    "a redirect to nowhere": { ...good, redirects: { "https://b.example/": "https://c.example/" } },
    "an address in another spelling": {
      ...good,
      entry: "https://a.example",
      modules: [{ ...one, url: "https://a.example" }],
    },
    "no hash": { ...good, modules: [{ ...one, hash: "sha256-0" }] },
    "something more": { ...good, more: 1 },
    "nothing": null,
  };
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  assert.equal(decodeArchive(encode(good)).modules.length, 1);
  for (const [name, value] of Object.entries(rows)) {
    await t.step(name, () => assert.throws(() => decodeArchive(encode(value)), LoadError));
  }
});
