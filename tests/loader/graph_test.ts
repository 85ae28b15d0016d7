// Whole module graphs, from a real server.
import assert from "node:assert/strict";
import { graphOf, loadError, lockUrl } from "./locking.ts";
import { redirect, Site } from "./site.ts";

/** A filter of several modules: cycle, enum, JSON, relative and absolute imports. */
function several(site: Site): void {
  const files: Record<string, string> = {
    "/f/mod.ts": `import { type Filter, accept } from "jsr:@millrace/millrace@0";
import { mark } from "./lib/mark.ts";
import names from "./names.json" with { type: "json" };
import { far } from "${site.origin()}/other/far.js";
import type { Nothing } from "./types_only.ts";
export default { name: names.name, message: () => accept(), mark: () => mark() + far } as Filter & Nothing;
`,
    "/f/lib/mark.ts": `import { level } from "../level.ts";
export enum Level { Low = 1, High = Low << 3 }
export const mark = (): string => Level[level()];
`,
    "/f/level.ts": `import { Level } from "./lib/mark.ts";
export function level(): Level { return Level.High; }
`,
    "/f/names.json": `{ "name": "several" }`,
    "/other/far.js": `export const far = "!";\nexport const lazy = () => import("/f/lazy.js");\n`,
    "/f/lazy.js": `export const answer = 42;\n`,
  };
  for (const [path, text] of Object.entries(files)) site.pages.set(path, text);
}

Deno.test("a filter of several modules is packed whole, types gone", async () => {
  await using site = new Site();
  several(site);
  const locked = await lockUrl(`${site.origin()}/f/mod.ts`);
  const { entry, modules, redirects } = graphOf(locked);
  const paths = [
    "/f/lazy.js",
    "/f/level.ts",
    "/f/lib/mark.ts",
    "/f/mod.ts",
    "/f/names.json",
    "/other/far.js",
  ];
  assert.deepEqual(modules.map(({ url }) => url), paths.map((path) => site.origin() + path));
  assert.equal(entry, `${site.origin()}/f/mod.ts`);
  assert.deepEqual(redirects, {});
  assert.deepEqual(locked.notes, []);
  const source = (path: string) => modules.find(({ url }) => url === site.origin() + path)!.source;
  assert.doesNotMatch(source("/f/mod.ts"), /types_only|Filter/);
  assert.doesNotMatch(source("/f/lib/mark.ts"), /enum|: string/);
  assert.equal(source("/f/names.json"), `{ "name": "several" }`);
  assert.equal([...site.asked].sort().join(), [...paths].sort().join(), "each module is asked for once");
});

Deno.test("the same graph gives the same archive, and a module's hash is that of its file", async () => {
  await using site = new Site();
  several(site);
  const first = await lockUrl(`${site.origin()}/f/mod.ts`);
  const second = await lockUrl(`${site.origin()}/f/mod.ts`);
  assert.deepEqual(first, second);
  const text = new TextEncoder().encode(site.pages.get("/f/level.ts") as string);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text)).toHex();
  assert.equal(first.locked.modules[`${site.origin()}/f/level.ts`], `sha256-${digest}`);
});

Deno.test("redirects are followed, pinned in one step, and relative imports start where they ended", async () => {
  await using far = new Site({
    "/v2/mod.ts": `import "./b.ts";\nexport default {};`,
    "/v2/b.ts": "export {};",
  });
  await using near = new Site();
  near.pages.set("/latest", redirect("/v2"));
  near.pages.set("/v2", redirect(`${far.origin("localhost")}/v2/mod.ts`, 308));
  const { locked } = await lockUrl(`${near.origin()}/latest`);
  const end = `${far.origin("localhost")}/v2/mod.ts`;
  assert.equal(locked.entry, end);
  assert.deepEqual(locked.redirects, { [`${near.origin()}/latest`]: end, [`${near.origin()}/v2`]: end });
  assert.deepEqual(Object.keys(locked.modules), [`${far.origin("localhost")}/v2/b.ts`, end]);
});

Deno.test("two ways to one module are one module", async () => {
  await using site = new Site({
    "/mod.js":
      `import "/old.js"; import "./a.js"; import "./a.js#part"; import "./x/../a.js"; export default {};`,
    "/old.js": redirect("/a.js"),
    "/a.js": "export {};",
  });
  const { locked } = await lockUrl(`${site.origin()}/mod.js`);
  assert.deepEqual(Object.keys(locked.modules), [`${site.origin()}/a.js`, `${site.origin()}/mod.js`]);
  assert.deepEqual(locked.redirects, {
    [`${site.origin()}/a.js#part`]: `${site.origin()}/a.js`,
    [`${site.origin()}/old.js`]: `${site.origin()}/a.js`,
  });
  assert.equal(site.asked.filter((path) => path === "/a.js").length, 1);
});

Deno.test("the content type decides over the name, and the name where it is silent", async () => {
  const as = (text: string, type: string) => () => new Response(text, { headers: { "content-type": type } });
  await using site = new Site({
    "/mod": as(
      `import "./a.ts"; import "./b.ts"; import "./c.js"; export default {} as object;`,
      "text/typescript",
    ),
    "/a.ts": as("export const a: number = 1;", "video/mp2t"),
    "/b.ts": as("export const b = 1 < 2;", "text/javascript"),
    "/c.js": as("export const c = 1;", "text/plain; charset=utf-8"),
  });
  assert.equal(graphOf(await lockUrl(`${site.origin()}/mod`)).modules.length, 4);
});

Deno.test("JavaScript is left exactly as it was", async () => {
  const text = `import { unused } from "./a.js"; // kept, it may have effects\nexport default {};\n`;
  await using site = new Site({ "/mod.js": text, "/a.js": "export const unused = 1;" });
  const { modules } = graphOf(await lockUrl(`${site.origin()}/mod.js`));
  assert.deepEqual(modules.map(({ source }) => source), ["export const unused = 1;", text]);
});

Deno.test("imports that only the runtime or another runtime has", async (t) => {
  await using site = new Site();
  await t.step("the filter helpers stay out of the graph", async () => {
    site.pages.set(
      "/mod.js",
      `import "millrace:filter"; import "@millrace/millrace"; import "jsr:@millrace/millrace@^0.1"; export default {};`,
    );
    assert.equal(graphOf(await lockUrl(`${site.origin()}/mod.js`)).modules.length, 1);
  });
  await t.step("dynamic ones that will fail, and computed ones, are noted", async () => {
    site.pages.set(
      "/mod.js",
      `export default {};\nexport const f = () => import("node:fs");\nexport const g = (x) => import(x);\n` +
        `export const h = () => import(\`./h.json\`, { with: { type: "json" } });`,
    );
    site.pages.set("/h.json", "[]");
    const { notes, locked } = await lockUrl(`${site.origin()}/mod.js`);
    assert.deepEqual(notes.map(({ specifier, line }) => [specifier, line]), [["node:fs", 2], [undefined, 3]]);
    assert.deepEqual(Object.keys(locked.modules), [`${site.origin()}/h.json`, `${site.origin()}/mod.js`]);
  });
});

Deno.test("an import that is refused is named with module, line and the chain to the entry", async (t) => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["lodash", "import maps of the filter's author are not read"],
    ["lib/a.ts", 'start it with "./"'],
    ["npm:lodash@4", "npm packages are for bundled filters only"],
    ["node:fs", "Node's own modules are not there"],
    ["data:text/javascript,1", "expected https:"],
    ["file:///etc/passwd", "inside the filter's folder"],
    ["local:///mod.ts", "files of the administrator only"],
    ["http://filters.example/a.js", "write https:"],
    ["https://user:secret@filters.example/a.js", "user name or password"],
    ["https://", "neither a URL"],
    ["jsr:std/yaml", "expected jsr:@scope/name"],
    [`https://filters.example/${"x".repeat(2100)}`, "at most 2048"],
  ];
  await using site = new Site();
  const at = site.origin();
  for (const [specifier, reason] of rows) {
    await t.step(specifier.slice(0, 60), async () => {
      site.pages.set("/mod.ts", `import "./b.ts";\nexport default {};`);
      site.pages.set("/b.ts", `// first\n\nimport "./c.ts";`);
      site.pages.set(
        "/c.ts",
        `type T = 1;\nimport * as x from ${JSON.stringify(specifier)};\nexport const y: T = x;`,
      );
      const expected = [reason, `${at}/c.ts:2: it imports`, `by ${at}/b.ts:3\n  imported by ${at}/mod.ts:1`];
      await assert.rejects(lockUrl(`${at}/mod.ts`), loadError("module", ...expected));
    });
  }
});

Deno.test("a module that cannot be used is refused while locking", async (t) => {
  const html = () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
  const rows: ReadonlyArray<readonly [string, string | (() => Response), "module" | "network", string]> = [
    ["a.ts", "let x: = 3", "module", "it is not TypeScript that can be compiled"],
    ["a.js", "let x: number = 3", "module", "it is not JavaScript that runs here"],
    ["a.ts", "@mark class A {}\nexport { A };", "module", "decorators and other proposals"],
    ["a.ts", "import fs = require('fs'); export = fs;", "module", "it is not JavaScript that runs here"],
    ["a.tsx", "export const a = <b/>;", "module", "JSX is not taken"],
    [
      "b.tsx",
      () => new Response("1;", { headers: { "content-type": "application/typescript" } }),
      "module",
      "JSX is not taken",
    ],
    ["a.cjs", "module.exports = 1", "module", "CommonJS is not taken"],
    ["a", "export {}", "module", "neither its content type nor the ending"],
    [
      "a.js",
      () => new Response(Uint8Array.of(0xff, 0xfe), { headers: { "content-type": "text/javascript" } }),
      "module",
      "not UTF-8",
    ],
    ["a.css", () => new Response("a{}", { headers: { "content-type": "text/css" } }), "module", '"text/css"'],
    ["a.json", "{}", "module", 'write `with { type: "json" }`'],
    ["a.js", html, "network", "a web page"],
    ["a.js", () => new Response("", { status: 404 }), "network", "there is no such module"],
    ["a.js", () => new Response("", { status: 403 }), "network", "it is not public"],
    ["a.js", () => new Response("", { status: 206 }), "network", "status 206"],
    ["a.js", () => new Response(null, { status: 302 }), "network", "without saying where to"],
    [
      "a.js",
      () => new Response(null, { status: 302, headers: { location: "ftp://x/" } }),
      "network",
      '"ftp:"',
    ],
    ["a.js", `import source w from "./w.wasm";`, "module", ":1: import source is not taken"],
    ["a.js", `import w from "./w.css" with { type: "css" };`, "module", 'import attribute "type: css"'],
  ];
  await using site = new Site();
  for (const [name, page, kind, reason] of rows) {
    await t.step(`${name}: ${reason}`, async () => {
      site.pages.set("/mod.js", `import "./${name}"; export default {};`);
      site.pages.set(`/${name}`, page);
      const chain = `\n  imported by ${site.origin()}/mod.js:1`;
      await assert.rejects(lockUrl(`${site.origin()}/mod.js`), loadError(kind, `/${name}`, reason, chain));
    });
  }
});

Deno.test("code and JSON are told apart by the importer", async (t) => {
  await using site = new Site({ "/a.js": "export {};", "/bad.json": "{ a: 1 }" });
  const mod = (text: string) => {
    site.pages.set("/mod.js", text);
    return lockUrl(`${site.origin()}/mod.js`);
  };
  await t.step(
    "code imported as JSON",
    () =>
      assert.rejects(mod(`import "./a.js" with { type: "json" };`), loadError("module", "a.js: it is code")),
  );
  await t.step("JSON that is none", () =>
    assert.rejects(
      mod(`import "./bad.json" with { type: "json" };`),
      loadError("module", "it is not well-formed JSON"),
    ));
  await t.step("a filter that is JSON", () => {
    site.pages.set("/f.json", "{}");
    return assert.rejects(
      lockUrl(`${site.origin()}/f.json`),
      loadError("module", "a filter is a module with code"),
    );
  });
});
