import assert from "node:assert/strict";
import { z } from "zod";
import type { FilterConfig } from "../config/schema.ts";
import type { Filter, Log, Manifest } from "../filter/mod.ts";
import { uniformPolicy } from "../session/policy.ts";
import { checkOptions, readManifest } from "../session/manifest.ts";
import { CommandError } from "./command.ts";
import { fileUrl } from "./load_config.ts";
import { filterUrl, loadFilter } from "./load_filter.ts";

const LOG: Log = { debug() {}, info() {}, warn() {}, error() {} };

function configOf(path: string, options: Record<string, unknown> = {}): FilterConfig {
  return {
    kind: "filter",
    use: { kind: "path", path },
    name: "f",
    options,
    permissions: { net: [], read: [], write: [], env: [], sys: [] },
    isolation: "none",
    memory: 64 * 1024 ** 2,
    instances: 1,
    timeout: 1000,
    startTimeout: 300,
    onFailure: uniformPolicy(),
    when: undefined,
    mode: "enforce",
    canary: 1,
  };
}

/** Loads a filter module with the given text. */
async function load(source: string, options?: Record<string, unknown>): Promise<Filter> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_load_" });
  try {
    await Deno.writeTextFile(`${folder}/f.ts`, source);
    const base = fileUrl("x.yaml", folder);
    const { signal } = new AbortController();
    return (await loadFilter(configOf("./f.ts", options), { base, log: LOG, signal })).filter;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What is said about a filter module, without its name and file. */
async function refused(source: string, options?: Record<string, unknown>): Promise<string> {
  try {
    await load(source, options);
  } catch (error) {
    assert.ok(error instanceof CommandError, String(error));
    assert.equal(error.exitCode, 2);
    assert.match(error.message, /^Cannot load filter "f" \(\/.*\/f\.ts\): /);
    return error.message.replace(/^Cannot load filter "f" \(.*?\): /, "");
  }
  throw new Error(`loaded: ${source}`);
}

Deno.test("loadFilter() takes an object, a function, an async function, a class", async () => {
  assert.equal(typeof (await load("export default { message() {} }")).message, "function");
  const made = await load("export default (env) => ({ name: env.options.n, rcpt() {}, edits: [] })", {
    n: "called",
  });
  assert.equal(made.name, "called");
  assert.equal(typeof (await load("export default async () => ({ helo() {} })")).helo, "function");
  const own = await load(
    "class F { cache = new Map(); limits = 3; rcpt() { this.look(); } look() {} }\nexport default () => new F()",
  );
  assert.equal(typeof own.rcpt, "function");
});

Deno.test("loadFilter() names hooks that would never be called", async () => {
  const typos: readonly (readonly [string, string])[] = [
    ["onHeader", "header"],
    ["xxfi_envfrom", "mail"],
    ["eom", "endOfMessage"],
    ["onEndOfMessage", "endOfMessage"],
    ["endofheaders", "endOfHeaders"],
    ["headers", "header"],
    ["mesage", "message"],
    ["recipient", "rcpt"],
    ["end_of_message", "endOfMessage"],
    ["mailFrom", "mail"],
    ["quit", "close"],
  ];
  for (const [typo, hook] of typos) {
    assert.equal(
      await refused(`export default { message() {}, ${typo}() {} }`),
      `it has "${typo}", which means nothing here; did you mean ${hook}?`,
    );
    // In a class as well, where methods of its own are fine otherwise.
    assert.match(await refused(`export default new (class { message() {} ${typo}() {} })()`), /did you mean/);
  }
  assert.match(
    await refused("export default { message() {}, zebra() {} }"),
    /^it has a function "zebra", which is no hook; hooks are negotiate, connect, .*put functions of your own outside/,
  );
  assert.match(await refused("export default { message() {}, edit: [] }"), /"edit".*did you mean edits\?/);
  assert.match(
    await refused("export default { message() {}, leading_space: true }"),
    /did you mean leadingSpace\?/,
  );
});

Deno.test("loadFilter() says what is wrong with what a module exports", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["export const x = 1", /^no default export; expected `export default \{ … \}`/],
    ["export function message() {}", /^no default export; write `export default \{ message \}`$/],
    ["export default 7", /^its default export is 7, expected an object with hooks$/],
    ["export default null", /^its default export is nothing, expected/],
    ["export default []", /^its default export is a list, expected/],
    ["export default () => {}", /^its function returned nothing, expected an object with hooks$/],
    ["export default {}", /^it has no hook; expected at least one of negotiate, connect/],
    ["export default { message: true }", /^hook message is true, expected a function$/],
    ["export default { message() {}, edits: 'all' }", /^edits is "all", expected a list of addHeader/],
    [
      "export default { message() {}, edits: ['addHeadr'] }",
      /^edits has "addHeadr"; did you mean addHeader\?$/,
    ],
    [
      "export default { message() {}, needs: ['macros'] }",
      /^needs has "macros"; allowed are client, helo, sender/,
    ],
    ["export default { message() {}, name: 5 }", /^name is 5, expected text$/],
    [
      "export default { message() {}, leadingSpace: 'yes' }",
      /^leadingSpace is "yes", expected true or false$/,
    ],
    ["export default { message() {}, macros: ['i'] }", /^macros has stage "0"; stages are connect, helo/],
    [
      "export default { message() {}, macros: { eom: ['i'] } }",
      /^macros has stage "eom"; did you mean endOfMessage\?$/,
    ],
    [
      "export default { message() {}, macros: { mail: 'i' } }",
      /^macros\.mail is "i", expected a list of names/,
    ],
    ["export default { message() {}, macros: { mail: ['a b'] } }", /^macros: .*"a b"/],
    ["export default () => { throw new Error('no list given') }", /^its function failed: no list given$/],
    [
      "export default async () => { throw new Error('no list given') }",
      /^its function failed: no list given$/,
    ],
    ["throw new Error('at once')", /^at once$/],
    ["export default {", /f\.ts:1:17|Expected|Unexpected/],
    ["import './none.ts'; export default { message() {} }", /^Module not found .*none\.ts/],
  ];
  for (const [source, expected] of cases) assert.match(await refused(source), expected, source);
});

Deno.test("loadFilter() says when there is no such module", async () => {
  const base = fileUrl("x.yaml", "/nowhere");
  const options = { base, log: LOG, signal: new AbortController().signal };
  await assert.rejects(loadFilter(configOf("./f.ts"), options), {
    message: 'Cannot load filter "f" (/nowhere/f.ts): there is no such file',
  });
  const bundled: FilterConfig = { ...configOf(""), use: { kind: "bundled", name: "nothing" } };
  await assert.rejects(loadFilter(bundled, options), {
    message: 'Cannot load filter "f" (bundled:nothing): no such filter is bundled',
  });
});

Deno.test("filterUrl() takes paths as they are written, from the configuration's folder", () => {
  const url = (path: string, folder = "/etc/mill race") =>
    filterUrl(configOf(path), fileUrl("m.yaml", folder)).href;
  assert.equal(url("./f.ts"), "file:///etc/mill%20race/f.ts");
  assert.equal(url("../a#b?c%20.ts"), "file:///etc/a%23b%3Fc%2520.ts");
  assert.equal(url("/srv/f.ts"), "file:///srv/f.ts");
  const bundled: FilterConfig = { ...configOf(""), use: { kind: "bundled", name: "footer" } };
  assert.ok(filterUrl(bundled, fileUrl("m", "/")).pathname.endsWith("/filters/footer/mod.ts"));
});

Deno.test("fileUrl() knows relative and absolute paths of both kinds", () => {
  assert.equal(fileUrl("a/b.yaml", "/c").href, "file:///c/a/b.yaml");
  assert.equal(fileUrl("/a/b.yaml", "/c").href, "file:///a/b.yaml");
  assert.equal(fileUrl("C:\\a\\b.yaml", "C:\\c").href, "file:///C:/a/b.yaml");
  assert.equal(fileUrl("b.yaml", "C:\\c").href, "file:///C:/c/b.yaml");
});

Deno.test("the schemas of zod are ones that a manifest may have", async () => {
  const schema = z.strictObject({ size: z.int().default(3), rules: z.array(z.object({ when: z.string() })) });
  assert.deepEqual(await checkOptions(schema, { rules: [] }), { size: 3, rules: [] });
  await assert.rejects(
    checkOptions(schema, { rules: [{}], more: 1 }),
    /^FilterError: options\.rules\[0\]\.when: .*\noptions: .*more/,
  );
  const manifest: Manifest = { name: "m", version: "1", options: schema };
  assert.equal(readManifest(manifest)?.options, schema);
});

Deno.test("loadFilter() gives up a filter that does not start in time", async () => {
  assert.equal(
    await refused("export default () => new Promise((resolve) => globalThis.endless = resolve);"),
    "it did not start within 300ms (start_timeout)",
  );
});
