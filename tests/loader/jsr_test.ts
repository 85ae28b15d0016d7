// Packages from a registry that speaks as JSR does.
import assert from "node:assert/strict";
import { denoFiles } from "../../src/loader/deno_files.ts";
import { lockFilter } from "../../src/loader/lock_filter.ts";
import { parseUse } from "../../src/loader/specifier.ts";
import { graphOf, loadError, lockUrl } from "./locking.ts";
import { jsrPackage, redirect, Site } from "./site.ts";

const version = (text: string) => ({
  files: { "/mod.ts": text, "/src/deep.ts": "export const deep: number = 1;" },
  exports: { ".": "./mod.ts", "./deep": "./src/deep.ts" },
});

async function registry(): Promise<Site> {
  const site = new Site();
  const add = async (...args: Parameters<typeof jsrPackage>) => {
    for (const [path, page] of Object.entries(await jsrPackage(...args))) site.pages.set(path, page);
  };
  const versions = ["0.9.0", "1.0.0", "1.2.3", "1.10.0", "1.11.0", "2.0.0", "2.1.0-rc.1"];
  await add(
    "@acme/greylist",
    Object.fromEntries(
      versions.map((name) => [name, version(`import "./src/deep.ts"; export default { name: "${name}" };`)]),
    ),
    ["1.11.0"],
  );
  await add("@std/tiny", {
    "1.0.4": version(`export * from "./src/deep.ts";`),
    "1.1.0-beta.1": version("export {};"),
  });
  await add("@acme/npm", { "1.0.0": version(`import "npm:left-pad@1"; export default {};`) });
  await add("@acme/odd", {
    "1.0.0": {
      files: { "/mod.ts": `import "./unlisted.ts";` },
      exports: { ".": "./mod.ts", "./out": "../../x.ts", "./query": "./mod.ts?a" },
    },
    "2.0.0": { files: {}, exports: { ".": "./mod.ts" } },
  });
  site.pages.set("/@acme/odd/1.0.0/unlisted.ts", "export {};");
  site.pages.set("/@acme/none/meta.json", `{"versions":{"1.0":{},"../../x":{},"1.0.0":{"yanked":true}}}`);
  return site;
}

function lock(use: string, site: Site) {
  const parsed = parseUse(use);
  assert(parsed.kind === "jsr");
  return lockFilter(parsed, { fetch, files: denoFiles, jsr: site.origin() });
}

Deno.test("a version range means the newest version in it", async (t) => {
  await using site = await registry();
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["", "2.0.0"],
    ["@latest", "2.0.0"],
    ["@*", "2.0.0"],
    ["@1", "1.10.0"],
    ["@1.x", "1.10.0"],
    ["@^1.2", "1.10.0"],
    ["@%5E1.2", "1.10.0"],
    ["@~1.2", "1.2.3"],
    ["@1.0.0", "1.0.0"],
    ["@0", "0.9.0"],
    ["@>=1 <1.10", "1.2.3"],
    ["@2.1.0-rc.1", "2.1.0-rc.1"],
  ];
  for (const [range, expected] of rows) {
    await t.step(`${range || "none"} is ${expected}`, async () => {
      const { locked } = await lock(`jsr:@acme/greylist${range}`, site);
      const root = `${site.origin()}/@acme/greylist/${expected}`;
      assert.equal(locked.entry, `${root}/mod.ts`);
      assert.deepEqual(Object.keys(locked.modules), [`${root}/mod.ts`, `${root}/src/deep.ts`]);
      assert.deepEqual(Object.values(locked.redirects), [`${root}/mod.ts`]);
    });
  }
});

Deno.test("an export of a package, and packages imported by filters from elsewhere", async () => {
  await using site = await registry();
  const { locked } = await lock("jsr:@acme/greylist@1/deep", site);
  assert.equal(locked.entry, `${site.origin()}/@acme/greylist/1.10.0/src/deep.ts`);
  await using filters = new Site({
    "/mod.ts":
      `import { deep } from "jsr:@std/tiny@^1.0.0"; import "jsr:/@std/tiny@1/deep"; export default { deep };`,
  });
  const fetched = await lockUrl(`${filters.origin()}/mod.ts`, { jsr: site.origin() });
  const tiny = `${site.origin()}/@std/tiny/1.0.4`;
  assert.deepEqual(fetched.locked.redirects, {
    "jsr:/@std/tiny@1/deep": `${tiny}/src/deep.ts`,
    "jsr:@std/tiny@^1.0.0": `${tiny}/mod.ts`,
  });
  assert.equal(graphOf(fetched).modules.length, 3);
  assert.equal(site.asked.filter((path) => path === "/@std/tiny/meta.json").length, 1);
});

Deno.test("what JSR does not offer is refused", async (t) => {
  await using site = await registry();
  const rows: ReadonlyArray<readonly [string, "module" | "network", string]> = [
    ["jsr:@acme/greylist@3", "module", "no version matches; the newest is 2.1.0-rc.1"],
    ["jsr:@acme/greylist@1.11.0", "module", "no version matches"],
    ["jsr:@acme/greylist@newest", "module", '"newest" is not a version range'],
    ["jsr:@acme/greylist@1/nope", "module", 'version 1.10.0 has no export "./nope"; it has ".", "./deep"'],
    ["jsr:@acme/none", "module", "it has no version"],
    ["jsr:@acme/missing", "network", "/@acme/missing/meta.json: the server answered with status 404"],
    ["jsr:@acme/npm", "module", "npm packages are for bundled filters only"],
    ["jsr:@acme/odd@1", "module", "lists no such file"],
    ["jsr:@acme/odd@1/out", "module", "leaves the package"],
    ["jsr:@acme/odd@1/query", "module", 'files of a JSR package have no "?a"'],
    ["jsr:@acme/odd@2", "module", "lists no such file"],
  ];
  for (const [use, kind, reason] of rows) {
    await t.step(use, () => assert.rejects(lock(use, site), loadError(kind, reason)));
  }
});

Deno.test("a file that differs from its package's checksum is refused with both", async () => {
  await using site = await registry();
  const text = site.pages.get("/@acme/greylist/1.10.0/src/deep.ts") as string;
  site.pages.set("/@acme/greylist/1.10.0/src/deep.ts", `${text} `);
  const both = /its hash is sha256-[0-9a-f]{64}, but the package lists sha256-[0-9a-f]{64}/;
  await assert.rejects(
    lock("jsr:@acme/greylist@1", site),
    loadError("module", "deep.ts", both, "imported by"),
  );
  // By its plain address too; what else is on that host is a module like any other.
  site.pages.set("/plain.ts", `import "/@acme/greylist/1.0.0/%zz.ts";`);
  const plain = lockUrl(`${site.origin()}/plain.ts`, { jsr: site.origin() });
  await assert.rejects(plain, loadError("module", "a % that is no escape", "/plain.ts:1"));
  const url = `${site.origin()}/@acme/greylist/1.10.0/mod.ts`;
  await assert.rejects(lockUrl(url, { jsr: site.origin() }), loadError("module", both));
});

Deno.test("a registry that redirects or talks nonsense is refused", async (t) => {
  await using site = await registry();
  await t.step("redirected list of versions", async () => {
    site.pages.set("/@acme/moved/meta.json", redirect("/@acme/greylist/meta.json"));
    await assert.rejects(lock("jsr:@acme/moved", site), loadError("network", "set JSR_URL"));
  });
  await t.step("redirected file", async () => {
    site.pages.set("/@acme/greylist/1.2.3/mod.ts", redirect("/@acme/greylist/1.0.0/mod.ts"));
    await assert.rejects(lock("jsr:@acme/greylist@1.2.3", site), loadError("network", "which it should not"));
  });
  await t.step("a list that is not JSON", async () => {
    site.pages.set("/@acme/text/meta.json", "versions: none");
    await assert.rejects(
      lock("jsr:@acme/text", site),
      loadError("network", "it is not JSON; is JSR_URL right?"),
    );
  });
  for (const meta of ["null", "[]", `{"versions":[]}`, `{"versions":{"1.0.0":{}}}`]) {
    await t.step(meta, async () => {
      site.pages.set("/@acme/text/meta.json", meta);
      site.pages.set("/@acme/text/1.0.0_meta.json", `{"exports":"./mod.ts","manifest":[]}`);
      await assert.rejects(
        lock("jsr:@acme/text", site),
        loadError("module", /it has no version|has no export/),
      );
    });
  }
});

Deno.test("JSR's address must be one that modules may come from", async (t) => {
  for (const jsr of ["jsr.io", "http://jsr.io", "https://jsr.io/?a", "ftp://jsr.io"]) {
    await t.step(
      jsr,
      () =>
        assert.rejects(
          lockUrl("https://filters.example/a.ts", { jsr }),
          loadError("use", `Cannot use "${jsr}" as JSR`),
        ),
    );
  }
});
