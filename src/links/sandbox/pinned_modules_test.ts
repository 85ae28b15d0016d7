// What a filter can import: its own graph and the helpers, and nothing else by any spelling.
import assert from "node:assert/strict";
import { builtinModules } from "node:module";
import { Driver } from "../../../tests/redteam/driver.ts";
import { sandboxOf } from "../../../tests/redteam/sandboxes.ts";
import type { PinnedGraph } from "./messages.ts";

const AT = "https://filter.example/";

/** A filter that imports these of its modules one after the other, and says which of them loaded. */
function importing(modules: Readonly<Record<string, string>>, before = ""): PinnedGraph {
  const names = JSON.stringify(Object.keys(modules));
  const source = `
    ${before}
    export default { async message(mail, { addHeader }) {
      let loaded = "";
      for (const name of ${names}) {
        try { const module = await import("./" + name + ".js"); loaded += name + "=" + module.default + " "; } catch {}
      }
      addHeader("X-Loaded", loaded);
    } };`;
  return {
    entry: `${AT}mod.js`,
    redirects: { [`${AT}moved.js`]: `${AT}there.js` },
    modules: [
      { url: `${AT}mod.js`, kind: "js", source },
      ...Object.entries(modules).map(([name, source]) => ({
        url: `${AT}${name}.js`,
        kind: "js" as const,
        source,
      })),
      { url: `${AT}data.json`, kind: "json", source: '{"a":1}' },
    ],
  };
}

async function loadedBy(graph: PinnedGraph): Promise<string> {
  const { link } = sandboxOf(graph);
  await link.start();
  const driver = new Driver(link);
  await driver.begin();
  const replies = await driver.mail();
  await driver.lost();
  await link.close();
  const header = replies.find((words) => words.includes("X-Loaded"));
  assert(header !== undefined, replies.join("\n"));
  return header.slice(header.indexOf("X-Loaded") + 8).trim();
}

Deno.test("modules of the graph load: relative, whole, in a circle, by a redirect, JSON, the helpers", async () => {
  const loaded = await loadedBy(importing({
    there: "export default 'there';",
    a: `import b from "./b.js"; export default "a"; export function back() { return b; }`,
    b: `import { back } from "./a.js"; export default "b" + typeof back;`,
    all: `import there from "${AT}moved.js"; import data from "./data.json" with { type: "json" };
      import { accept } from "@millrace/millrace";
      export default there + data.a + accept().kind;`,
    all2: `import { reject } from "jsr:@millrace/millrace@1"; export default reject().kind;`,
  }));
  assert.equal(loaded, "there=there a=a b=bfunction all=there1accept all2=reject", loaded);
});

/** Every way to write down an import. */
const FORMS = [
  (name: string) => `import "${name}"; export default 1;`,
  (name: string) => `import * as all from "${name}"; export default typeof all;`,
  (name: string) => `export { default } from "${name}";`,
  (name: string) => `export * from "${name}"; export default 1;`,
  (name: string) => `const all = await import("${name}"); export default typeof all;`,
];

Deno.test("no built-in module loads, however it is imported", async () => {
  const names = [...new Set([...builtinModules, "test", "sqlite", "sea", "test/reporters"])]
    .flatMap((name) => name.startsWith("node:") ? [name] : [name, `node:${name}`]);
  assert(names.includes("node:worker_threads") && names.includes("node:process") && names.length > 100);
  const modules = Object.fromEntries(
    names.flatMap((name) => FORMS.map((form, i) => [`m${i}-${name.replaceAll(/\W/g, "_")}`, form(name)])),
  );
  assert.equal(await loadedBy(importing(modules)), "");
});

Deno.test("nothing outside the graph loads, however it is spelt", async () => {
  const names = [
    ...[
      "data:text/javascript,export default 1",
      "blob:null/x",
      "file:///etc/passwd",
      "file:///work/x.js",
      "/etc/hosts",
    ],
    new URL("./ring.ts", import.meta.url).href,
    ...[
      "https://deno.land/std@0.224.0/version.ts",
      "https://jsr.io/@std/assert/meta.json",
      "https://esm.sh/left-pad",
    ],
    ...[
      "https://raw.githubusercontent.com/denoland/deno/main/x.js",
      "https://filter.example/none.js",
      "./none.js",
    ],
    ...[
      "npm:left-pad",
      "jsr:@std/assert",
      "ext:core/mod.js",
      "ext:deno_node/worker_threads.ts",
      "internal:x",
      "bare",
    ],
    ...[
      "HTTPS://FILTER.EXAMPLE:444/mod.js",
      "https://filter.example/mod.js?x",
      "__proto__",
      "constructor",
      "toString",
    ],
  ];
  const modules = Object.fromEntries(
    names.flatMap((name, n) => FORMS.map((form, i) => [`m${n}-${i}`, form(name)])),
  );
  assert.equal(await loadedBy(importing(modules)), "");
});

Deno.test("replaced built-in methods do not open the graph", async () => {
  const before = `
    const wanted = "node:worker_threads";
    const found = { url: wanted, kind: "js", source: "export default 'forged'" };
    const get = Map.prototype.get;
    let n = 0;
    Map.prototype.get = function (key) { return key === wanted && ++n % 3 === 2 ? found : Reflect.apply(get, this, [key]); };
    RegExp.prototype.test = () => true;
    const exec = RegExp.prototype.exec;
    RegExp.prototype.exec = function (text) { return text === wanted ? [text] : Reflect.apply(exec, this, [text]); };
    String.prototype.startsWith = () => true;
    Object.defineProperty(URL.prototype, "href", { get: () => "${AT}mod.js" });
    globalThis.URL = function () { return { href: wanted }; };
    JSON.stringify = () => "0); export { default } from '" + wanted + "'; void (0";
    Object.prototype[wanted] = found;
    Object.prototype.source = "export default 'polluted'";
    Object.prototype.shortCircuit = true;
    Object.entries = () => [];
    Array.prototype[Symbol.iterator] = function* () {};
    globalThis.Error = class { constructor() { return { url: wanted, shortCircuit: true }; } };`;
  const modules = Object.fromEntries(
    ["node:worker_threads", "node:process", "node:fs"].flatMap((name, n) =>
      FORMS.map((form, i) => [`m${n}${i}`, form(name)])
    ),
  );
  const { link } = sandboxOf(importing(modules, before));
  // It may as well break itself; it must not get through.
  const started = await link.start().then(() => true, () => false);
  if (started) {
    const driver = new Driver(link, 2000);
    await driver.begin();
    const replies = await driver.mail();
    assert(!replies.some((words) => /X-Loaded.*=/.test(words)), replies.join("\n"));
    await driver.lost();
  }
  await link.close();
});
