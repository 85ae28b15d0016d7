// Which part of the source may import which. The table is the rule; the tests hold the tree against it.
import assert from "node:assert/strict";
import { codeOf, cyclesIn, type Files, importsOf, readTree } from "./import_walk.ts";
import { PORTABLE_RINGS } from "./portable/rings.ts";

type Part = {
  /** Folders or files below `src/` that may be imported. Ending in `(types)`: with `import type` only. */
  readonly may: readonly string[] | "all";
  /** Bare specifiers and `node:` modules that may be imported. */
  readonly packages: readonly string[] | "all";
  readonly why: string;
};

const PARTS: Readonly<Record<string, Part>> = {
  text: { may: [], packages: [], why: "words for messages: pure, for whoever has to say what is wrong" },
  protocol: { may: [], packages: [], why: "the wire in both directions: pure, knows nobody" },
  filter: { may: [], packages: [], why: "the filter author's words: no wire, no runtime behind them" },
  session: { may: ["text", "protocol", "filter"], packages: [], why: "commands to hooks and back: pure" },
  chain: {
    may: ["protocol", "filter", "session"],
    packages: [],
    why: "order and merging of links, any carrier",
  },
  links: {
    may: ["chain", "session", "protocol", "filter", "transport", "text", "conditions/mod.ts"],
    packages: ["node:worker_threads", "node:module"],
    why:
      "carriers of one contract, the server only sees that; a sandbox is made of a thread and a module hook, which has to " +
      "know what bundled filters share",
  },
  transport: { may: [], packages: "all", why: "byte pipes: no idea what the bytes mean" },
  conditions: {
    may: ["text", "filter"],
    packages: ["zod", "ipaddr.js"],
    why: "what may be asked of a mail, for the chain and the bundled filters alike: pure, YAML values in",
  },
  config: {
    may: ["text", "conditions", "transport/address.ts", "transport/dialable.ts", "session/policy.ts"],
    packages: ["@std/yaml", "zod"],
    why:
      "text in, value out: no files, no runtime; socket addresses and kinds of failure stand where they are defined",
  },
  loader: { may: [], packages: "all", why: "from a URL to a pinned archive" },
  server: {
    may: [
      "protocol",
      "filter",
      "session",
      "chain",
      "links",
      "transport/direct.ts",
      "transport (types)",
      "config (types)",
    ],
    packages: [],
    why:
      "the one loop where bytes, session, chain and clock meet; sockets and logs are handed in, and read and written as on any runtime",
  },
  testing: {
    may: [
      "protocol",
      "filter",
      "session",
      "chain",
      "links/inline",
      "transport/memory.ts",
      "transport (types)",
    ],
    packages: [],
    why: "for filter authors: runs anywhere, no sockets",
  },
  edge: {
    may: [
      "server",
      "chain",
      "links/inline",
      "protocol",
      "filter",
      "session",
      "transport/websocket.ts",
      "transport (types)",
    ],
    packages: [],
    why: "serverless: no sockets, no sandbox, no files",
  },
  cli: { may: "all", packages: "all", why: "the top: args, files, signals, logs" },
};

/**
 * A bundled filter is a filter like any other: it sees the public API, its own folder and packages; and conditions, which
 * are the same words in a filter's options as in the configuration.
 */
const FILTERS_MAY: readonly string[] = ["mod.ts", "src/filter/mod.ts", "src/conditions/mod.ts"];
const MOST_LINES = 400;
/** What only a runtime has. The check with browser libs finds `Deno`, but Deno always knows Node's globals. */
const RUNTIME_GLOBAL = /\b(?:Deno|process|Buffer|require)\s*[.([]/;

const isTest = (path: string) => path.endsWith("_test.ts");

function allows(entry: string, target: string, typesOnly: boolean): boolean {
  const forTypes = entry.endsWith(" (types)");
  const place = `src/${entry.replace(" (types)", "")}`;
  if (forTypes && !typesOnly) return false;
  return target === place || target === `${place}.ts` || target.startsWith(`${place}/`);
}

function checkFilter(path: string, text: string): string[] {
  const own = path.split("/").slice(0, 2).join("/");
  return importsOf(path, text).flatMap(({ specifier, target }) => {
    if (target === undefined) return [];
    if (target.startsWith(`${own}/`) || FILTERS_MAY.includes(target)) return [];
    return [
      `${path} imports "${specifier}": a bundled filter may import ${
        FILTERS_MAY.join(", ")
      } and its own folder`,
    ];
  });
}

function checkSource(path: string, text: string): string[] {
  const folder = path.split("/")[1];
  const part = PARTS[folder];
  if (!part) {
    return [
      `${path}: "src/${folder}" is not in the table of tests/architecture_test.ts; add it with a reason`,
    ];
  }
  const found: string[] = [];
  for (const { specifier, target, typesOnly } of importsOf(path, text)) {
    if (target === undefined) {
      const packages = part.packages;
      if (packages !== "all" && !packages.includes(specifier)) {
        found.push(
          `${path} imports "${specifier}": src/${folder} may import ${
            packages.join(", ") || "no package"
          } (${part.why})`,
        );
      }
    } else if (part.may !== "all" && !target.startsWith(`src/${folder}/`)) {
      if (!part.may.some((entry) => allows(entry, target, typesOnly))) {
        found.push(
          `${path} imports "${specifier}": src/${folder} may import ${
            part.may.join(", ") || "only itself"
          } (${part.why})`,
        );
      }
    }
  }
  return found;
}

/** Everything in the files that breaks a rule, one sentence each. Tests may import what they test, from anywhere. */
function violations(files: Files): string[] {
  const found: string[] = [];
  for (const [path, text] of files) {
    const lines = text.split("\n").length - 1;
    if (lines > MOST_LINES) found.push(`${path} has ${lines} lines: split it, the limit is ${MOST_LINES}`);
    const portable = PORTABLE_RINGS.some((ring) => path.startsWith(`src/${ring}/`));
    const global = RUNTIME_GLOBAL.exec(codeOf(text))?.[0];
    if (portable && global) {
      found.push(`${path} uses "${global}": this part has to run without Deno and Node`);
    }
    if (isTest(path)) continue;
    found.push(...(path.startsWith("filters/") ? checkFilter(path, text) : checkSource(path, text)));
  }
  for (const cycle of cyclesIn(files)) found.push(`import cycle: ${cycle.join(" -> ")}`);
  return found;
}

Deno.test("source and filters keep to the import directions", () => {
  const files = readTree(new URL("../", import.meta.url), ["src", "filters"]);
  assert(files.size > 0, "no source files found below src/ and filters/");
  const found = violations(files);
  assert.equal(found.length, 0, `\n${found.join("\n")}`);
});

Deno.test("mod.ts only passes on what the source exports", async () => {
  const code = codeOf(await Deno.readTextFile(new URL("../mod.ts", import.meta.url)));
  const rest = code.replace(/^export (?:type )?(?:\{[^}]*\}|\*)\s*from\s*"\.\/src\/[^"]+";$/gm, "").trim();
  assert.equal(rest, "", 'mod.ts holds something other than `export … from "./src/…"`');
});

Deno.test("the checker finds each kind of breach", () => {
  const rows: ReadonlyArray<readonly [string, string, string | RegExp]> = [
    ["src/protocol/a.ts", 'import { x } from "../filter/x.ts";', /only itself/],
    ["src/protocol/a.ts", 'import type { x } from "../session/x.ts";', /only itself/],
    ["src/protocol/a.ts", 'export * from "../chain/x.ts";', /only itself/],
    ["src/protocol/a.ts", 'import {\n  x,\n  y,\n} from "../chain/x.ts";', /only itself/],
    ["src/filter/a.ts", 'import { Buffer } from "node:buffer";', /no package/],
    ["src/filter/a.ts", 'const z = await import("zod");', /no package/],
    ["src/chain/a.ts", 'import "../server/x.ts";', /may import protocol, filter, session/],
    ["src/chain/a.ts", 'new Worker(new URL("../links/w.ts", import.meta.url));', /may import protocol/],
    ["src/session/a.ts", "await Deno.readFile(p);", /uses "Deno\."/],
    ["src/session/a_test.ts", "process.exit(1);", /uses "process\."/],
    ["src/server/a.ts", 'import { listen } from "../transport/deno.ts";', /transport \(types\)/],
    [
      "src/server/a.ts",
      'import { type Connection, pair } from "../transport/types.ts";',
      /transport \(types\)/,
    ],
    ["src/config/a.ts", 'import { z } from "zod/v3";', /@std\/yaml, zod/],
    ["src/novelty/a.ts", "", /not in the table/],
    ["src/cli/a.ts", "//\n".repeat(401), /401 lines/],
    ["filters/one/mod.ts", 'import { x } from "../two/mod.ts";', /its own folder/],
    ["filters/one/mod.ts", 'import { x } from "../../src/protocol/codes.ts";', /its own folder/],
    ["src/cli/a.ts", 'import "./a.ts";', "import cycle: src/cli/a.ts -> src/cli/a.ts"],
  ];
  for (const [path, text, expected] of rows) {
    const found = violations(new Map([[path, text]]));
    assert.equal(found.length, 1, `${path}: ${text}\n${found.join("\n")}`);
    assert.match(found[0], typeof expected === "string" ? new RegExp(RegExp.escape(expected)) : expected);
  }
  const circle = new Map([
    ["src/cli/a.ts", 'import { b } from "./b.ts";'],
    ["src/cli/b.ts", 'import type { c } from "./commands/c.ts";'],
    ["src/cli/commands/c.ts", 'export { a } from "../a.ts";'],
  ]);
  assert.deepEqual(violations(circle), [
    "import cycle: src/cli/a.ts -> src/cli/b.ts -> src/cli/commands/c.ts -> src/cli/a.ts",
  ]);
});

Deno.test("the checker lets pass what is allowed", () => {
  const files = new Map([
    [
      "src/protocol/a.ts",
      '/**\n * import { x } from "../chain/x.ts";\n */\nexport { b } from "./b.ts"; // import "x";\n',
    ],
    [
      "src/server/a.ts",
      'import type { Connection } from "../transport/types.ts";\nimport { f } from "../protocol/f.ts";',
    ],
    [
      "src/testing/a.ts",
      'import { pair } from "../transport/memory.ts";\nimport { link } from "../links/inline.ts";',
    ],
    ["src/config/a.ts", 'import { z } from "zod";\nimport { parse } from "@std/yaml";'],
    ["src/chain/a_test.ts", 'import test from "node:test";\nimport { x } from "../links/inline.ts";'],
    [
      "filters/one/mod.ts",
      'import type { Filter } from "../../mod.ts";\nimport iconv from "iconv-lite";\nimport "./b.ts";',
    ],
  ]);
  assert.deepEqual(violations(files), []);
});
