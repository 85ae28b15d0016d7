import assert from "node:assert/strict";
import { parse } from "@std/yaml";
import fc from "fast-check";
import { type Path, YamlPositions } from "./yaml_position.ts";

function place(text: string, path: Path): string {
  const { value, key, exact } = new YamlPositions(text).locate(path);
  const keyPlace = key ? ` key ${key.line}:${key.column}` : "";
  return `${value.line}:${value.column}${keyPlace}${exact ? "" : " (parent)"}`;
}

const SAMPLE = `# millrace
listen: [ "inet:8891@127.0.0.1", unix:/run/m.sock ]   # two
socket: { mode: 0660, "group": 'it''s' }
limits:

  # a comment in between
  connections: 20   # trailing
  body: >-
    folded
    text: with a colon

filters:
- use: ./a.ts
  options:
    list:
    - one
    -   two
    nested: {a: [1, {b: 2}], c:
      3}
    empty:
    text: |
      line
       - deeper

      end
- name: "quoted \\" # : name"
  use: many
    lines here
-
  use: below
log: &anchor
  level: info
`;

const PLACES: readonly (readonly [Path, string])[] = [
  [[], "2:1"],
  [["listen"], "2:9 key 2:1"],
  [["listen", 0], "2:11"],
  [["listen", 1], "2:34"],
  [["listen", 2], "2:9 (parent)"],
  [["socket", "mode"], "3:17 key 3:11"],
  [["socket", "group"], "3:32 key 3:23"],
  [["limits"], "7:3 key 4:1"],
  [["limits", "connections"], "7:16 key 7:3"],
  [["limits", "body"], "8:9 key 8:3"],
  [["filters"], "13:1 key 12:1"],
  [["filters", 0], "13:3"],
  [["filters", 0, "use"], "13:8 key 13:3"],
  [["filters", 0, "options", "list", 0], "16:7"],
  [["filters", 0, "options", "list", 1], "17:9"],
  [["filters", 0, "options", "nested", "a", 1, "b"], "18:25 key 18:22"],
  [["filters", 0, "options", "nested", "c"], "19:7 key 18:30"],
  [["filters", 0, "options", "empty"], "20:5 key 20:5"],
  [["filters", 0, "options", "text"], "21:11 key 21:5"],
  [["filters", 1, "name"], "26:9 key 26:3"],
  [["filters", 1, "use"], "27:8 key 27:3"],
  [["filters", 2, "use"], "30:8 key 30:3"],
  [["filters", 3], "13:1 (parent)"],
  [["log", "level"], "32:10 key 32:3"],
  [["log", "color"], "32:3 (parent)"],
  [["nothing"], "2:1 (parent)"],
];

Deno.test("locate() finds keys and values in block and flow style", () => {
  parse(SAMPLE);
  for (const [path, expected] of PLACES) assert.equal(place(SAMPLE, path), expected, path.join("."));
});

Deno.test("locate() gives the same lines when lines end with CRLF, and behind a byte order mark", () => {
  const crlf = SAMPLE.replaceAll("\n", "\r\n");
  for (const [path, expected] of PLACES) assert.equal(place(crlf, path), expected, path.join("."));
  assert.equal(place("\ufeffa: 1\nb: 2\n", ["a"]), "1:4 key 1:1");
});

Deno.test("locate() gives a scalar as it was written", () => {
  const positions = new YamlPositions(SAMPLE);
  assert.equal(positions.locate(["socket", "mode"]).source, "0660");
  assert.equal(positions.locate(["socket", "group"]).source, "'it''s'");
  assert.equal(positions.locate(["limits", "connections"]).source, "20");
  assert.equal(positions.locate(["limits"]).source, undefined);
});

Deno.test("locate() falls back to the parent behind aliases, explicit keys and merged keys", () => {
  const text = "base: &b { mode: 1 }\nsocket: *b\nmerged:\n  <<: *b\n  x: 1\n? explicit\n: 1\nlast: 2\n";
  parse(text);
  assert.equal(place(text, ["socket"]), "2:9 key 2:1");
  assert.equal(place(text, ["socket", "mode"]), "2:9 (parent)");
  assert.equal(place(text, ["merged", "mode"]), "4:3 (parent)");
  assert.equal(place(text, ["merged", "x"]), "5:6 key 5:3");
  assert.equal(place(text, ["last"]), "1:1 (parent)");
});

Deno.test("locate() reads documents with markers, tags, anchors and odd roots", () => {
  assert.equal(place("%YAML 1.2\n---\na: !!str 1\n...\n", ["a"]), "3:10 key 3:1");
  assert.equal(place("--- # x\n- a\n- - b\n  - c\n", [1, 1]), "4:5");
  assert.equal(place("- &x a: 1\n  b: 2\n", [0, "b"]), "2:6 key 2:3");
  assert.equal(place("", ["a"]), "1:1 (parent)");
  assert.equal(place("just text", ["a"]), "1:1 (parent)");
  assert.equal(place("[a, b: c]", [1, "b"]), "1:8 key 1:5");
  assert.equal(place('{"a":1, b}', ["a"]), "1:6 key 1:2");
});

Deno.test("locate() stops at very deep nesting and at ill-formed text", () => {
  const deep = "[".repeat(100_000);
  assert.equal(place(deep, [0, 0]), "1:1 (parent)");
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(..."ab:-?[]{},'\"|>#&*! \n\t%.") }), (text) => {
    new YamlPositions(text).locate(["a", 0]);
  }));
});

/** A value together with how it is written; each step down takes the next choice. */
function write(value: unknown, indent: number, flow: boolean, choose: () => number): string {
  const pad = "\n" + " ".repeat(indent);
  if (typeof value === "string") {
    if (choose() === 0 && !value.includes("\n")) return `'${value.replaceAll("'", "''")}'`;
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    if (value.length === 0 || flow || choose() === 0) {
      return `[${
        value.map((item) => write(item, indent + 2, true, choose)).join(choose() ? ", " : " ,\n      ")
      }]`;
    }
    const comment = choose() === 0 ? " # - comment: x" : "";
    return comment + value.map((item) => {
      if (Array.isArray(item) || typeof item !== "object" || choose() === 0) {
        return `${pad}- ${write(item, indent + 2, false, choose)}`;
      }
      // A map that begins on the line of its dash.
      const map = write(item, indent + 2, false, () => 1);
      return `${pad}- ${map.startsWith("\n") ? map.trimStart() : map}`;
    }).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0 || flow || choose() === 0) {
      const inside = entries.map(([key, item]) => `${key}: ${write(item, indent + 2, true, choose)}`);
      return `{ ${inside.join(", ")} }`;
    }
    return entries.map(([key, item]) => {
      const deeper = indent + (Array.isArray(item) && choose() === 0 ? 0 : 2);
      const blank = choose() === 0 ? "\n" : "";
      return `${blank}${pad}${key}: ${write(item, deeper, false, choose)}`;
    }).join("");
  }
  return String(value);
}

function* leaves(value: unknown, path: Path = []): Generator<[Path, unknown]> {
  if (typeof value !== "object" || value === null) yield [path, value];
  else {for (const [key, item] of Object.entries(value)) {
      yield* leaves(item, [...path, Array.isArray(value) ? Number(key) : key]);
    }}
}

Deno.test("locate() finds each scalar of generated texts: what stands there parses to the value", () => {
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.string({ unit: fc.constantFrom(..."ab: #-'\"[]{},\n") }),
      ),
      fc.array(tie("node"), { maxLength: 4 }),
      fc.dictionary(fc.stringMatching(/^k[a-z_]{0,5}$/), tie("node"), { maxKeys: 4 }),
    ),
  })).node;
  fc.assert(
    fc.property(tree, fc.array(fc.nat(1), { minLength: 1, maxLength: 40 }), (value, choices) => {
      let n = 0;
      const text = write(value, 0, false, () => choices[n++ % choices.length]);
      assert.deepEqual(JSON.parse(JSON.stringify(parse(text))), JSON.parse(JSON.stringify(value)), text);
      const positions = new YamlPositions(text);
      for (const [path, expected] of leaves(value)) {
        const { value: at, source, exact } = positions.locate(path);
        assert.ok(exact, `${path.join(".")} in\n${text}`);
        assert.equal(parse(source!), expected);
        assert.ok(text.split("\n")[at.line - 1].slice(at.column - 1).startsWith(source!.split("\n")[0]));
      }
    }),
    { numRuns: 300 },
  );
});
