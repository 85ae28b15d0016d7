// Locked, kept, and run again without network: files on disk, and the sandbox's own module hooks.
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { ArchiveCache } from "../../src/loader/cache.ts";
import { denoFiles } from "../../src/loader/deno_files.ts";
import { lockFilter } from "../../src/loader/lock_filter.ts";
import { loadPinned, type PinnedGraph } from "../../src/loader/pinned.ts";
import { type Lock, readLock, writeLock } from "../../src/loader/lock.ts";
import type { PinnedGraph as SandboxGraph } from "../../src/links/sandbox/messages.ts";
import { loadError, lockUrl } from "./locking.ts";
import { jsrPackage, redirect, Site } from "./site.ts";

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Imports a graph in a thread of its own, under the sandbox's hooks; gives what its default export says. */
async function runPinned(graph: SandboxGraph): Promise<unknown> {
  const thread = new Worker(new URL("./pinned_thread.ts", import.meta.url), { workerData: graph });
  try {
    return await new Promise((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
    });
  } finally {
    await thread.terminate();
  }
}

/** A filter of several modules, on two hosts and in a package: its default export says how each got there. */
async function site(registry: Site, far: Site): Promise<Site> {
  const tiny = { files: { "/mod.ts": `export const tiny: string = "jsr";` }, exports: { ".": "./mod.ts" } };
  for (const [path, page] of Object.entries(await jsrPackage("@std/tiny", { "1.0.0": tiny }))) {
    registry.pages.set(path, page);
  }
  far.pages.set("/v2/far.js", `import { near } from "./near.js"; export const far = "far+" + near;`);
  far.pages.set("/v2/near.js", `export const near = "near";`);
  return new Site({
    "/f/mod.ts": `
      import { accept } from "millrace:filter";
      import { HeaderList } from "jsr:@millrace/millrace@^0.1";
      import { tiny } from "jsr:@std/tiny@^1";
      import { mark } from "./mark.ts";
      import names from "./names.json" with { type: "json" };
      import { far } from "../latest.js#x";
      export default async (): Promise<unknown> => ({
        verdict: accept().kind, list: typeof HeaderList, tiny, mark: mark(), name: names.name, far,
        lazy: (await import("./lazy.ts")).lazy,
        data: (await import("./names.json", { with: { type: "json" } })).default.name,
        outside: await import("./" + "other.ts").catch((error: Error) => error.message),
        node: await import("node:fs").catch((error: Error) => error.message),
      });`,
    "/f/mark.ts": `
      import { level } from "./level.ts";
      export enum Level { Low = 1, High = Low << 3 }
      export class Mark { constructor(readonly text: string) {} }
      export const mark = () => new Mark(Level[level()]).text;`,
    "/f/level.ts": `import { Level } from "/f/mark.ts"; export const level = (): Level => Level.High;`,
    "/f/lazy.ts": `export namespace Lazy { export const value = 42; } export const lazy = Lazy.value;`,
    "/f/names.json": `{ "name": "several" }`,
    "/f/other.ts": "export {};",
    "/latest.js": redirect(`${far.origin("localhost")}/v2/far.js`),
  });
}

Deno.test("a locked filter runs from the cache when every server is gone", async () => {
  await withFolder(async (folder) => {
    const cache = new ArchiveCache(denoFiles, `${folder}/cache/archives/`);
    let use: string;
    {
      await using registry = new Site();
      await using far = new Site();
      await using near = await site(registry, far);
      use = `${near.origin()}/f/mod.ts`;
      const { locked, archive, notes } = await lockUrl(use, { jsr: registry.origin() });
      assert.equal(await cache.write(archive), locked.archive);
      await writeLock(denoFiles, `${folder}/millrace.lock`, { filters: { [use]: locked } });
      assert.deepEqual(notes.map(({ specifier }) => specifier), [undefined, "node:fs"]);
    }
    const lock = await readLock(denoFiles, `${folder}/millrace.lock`);
    const graph: SandboxGraph = await loadPinned(use, lock!, cache);
    const { outside, node, ...rest } = await runPinned(graph) as Record<string, string>;
    assert.deepEqual(rest, {
      verdict: "accept",
      list: "function",
      tiny: "jsr",
      mark: "High",
      name: "several",
      far: "far+near",
      lazy: 42,
      data: "several",
    });
    assert.match(outside, /not among the modules pinned/);
    assert.match(node, /not among the modules pinned/);
  });
});

Deno.test("cache and lock are written as a whole, for the right readers", async () => {
  await withFolder(async (folder) => {
    const cache = new ArchiveCache(denoFiles, `${folder}/a/b`);
    const path = cache.pathOf(await cache.write(new TextEncoder().encode("{}")));
    await cache.write(new TextEncoder().encode("{}"));
    await writeLock(denoFiles, `${folder}/millrace.lock`, { filters: {} });
    const mode = async (name: string) => (await Deno.stat(name)).mode! & 0o777;
    assert.equal(await mode(path), 0o600);
    assert.equal(await mode(`${folder}/a/b`), 0o700);
    assert.equal(await mode(`${folder}/millrace.lock`), 0o644);
    const names = [...Deno.readDirSync(`${folder}/a/b`), ...Deno.readDirSync(folder)].map(({ name }) => name)
      .sort();
    assert.deepEqual(names, ["a", "millrace.lock", path.split("/").at(-1)].sort());
    await assert.rejects(
      new ArchiveCache(denoFiles, path).write(new Uint8Array(1)),
      loadError("cache", "Cannot write"),
    );
    assert.equal(await readLock(denoFiles, `${folder}/none/millrace.lock`), undefined);
  });
});

Deno.test("nothing but the pinned archive is loaded", async (t) => {
  await using near = new Site({ "/mod.js": "export default {};" });
  const use = `${near.origin()}/mod.js`;
  const { locked, archive } = await lockUrl(use);
  await withFolder(async (folder) => {
    const cache = new ArchiveCache(denoFiles, folder);
    const lock: Lock = { filters: { [use]: locked } };
    const path = cache.pathOf(locked.archive);
    near.asked.length = 0;
    await t.step("not in the lock", async () => {
      for (const name of [`${use}?`, "toString"]) {
        await assert.rejects(loadPinned(name, lock, cache), loadError("lock", name, "run millrace lock"));
      }
    });
    await t.step(
      "not in the cache",
      () =>
        assert.rejects(
          loadPinned(use, lock, cache),
          loadError("cache", path, "is missing; run millrace lock"),
        ),
    );
    await t.step("one changed byte, anywhere", async () => {
      await cache.write(archive);
      await loadPinned(use, lock, cache);
      for (const at of [0, archive.length >> 1, archive.length - 1]) {
        const changed = archive.slice();
        changed[at] ^= 1;
        await Deno.writeFile(path, changed);
        const found = `sha256-${new Uint8Array(await crypto.subtle.digest("SHA-256", changed)).toHex()}`;
        await assert.rejects(loadPinned(use, lock, cache), loadError("cache", path, found, locked.archive));
      }
    });
    await t.step("cut off, or a folder in its place", async () => {
      await Deno.writeFile(path, archive.subarray(0, 10));
      await assert.rejects(loadPinned(use, lock, cache), loadError("cache", locked.archive));
      await Deno.remove(path);
      await Deno.mkdir(path);
      await assert.rejects(loadPinned(use, lock, cache), loadError("cache", "it is not a regular file"));
      await Deno.remove(path);
    });
    await t.step("a lock that says something else about it", async () => {
      await cache.write(archive);
      const other = { ...locked, modules: { [use]: `sha256-${"0".repeat(64)}` } };
      await assert.rejects(
        loadPinned(use, { filters: { [use]: other } }, cache),
        loadError("lock", `for ${use}`),
      );
    });
    assert.deepEqual(near.asked, [], "the network was asked");
  });
});

Deno.test("the rights that a manifest wishes for come from the filter's code", async () => {
  await using near = new Site({
    "/mod.ts": `export const manifest: object = { permissions: { net: ["a:1"] } };`,
  });
  const seen: PinnedGraph[] = [];
  const progress: string[] = [];
  const { locked } = await lockUrl(`${near.origin()}/mod.ts`, {
    progress: (url) => progress.push(url),
    wishesOf: (graph) => {
      seen.push(graph);
      return Promise.resolve({ net: ["a:1"] });
    },
  });
  assert.deepEqual(locked.wishes, { net: ["a:1"] });
  assert.match(seen[0].modules[0].source, /export const manifest =/);
  assert.deepEqual(progress, [`${near.origin()}/mod.ts`]);
  const strange: Record<string, unknown> = { net: [1] };
  const wishesOf = () => Promise.resolve(strange as Record<string, true>);
  await assert.rejects(
    lockUrl(`${near.origin()}/mod.ts`, { wishesOf }),
    loadError("module", "in its manifest"),
  );
});

Deno.test("a filter in files", async (t) => {
  await withFolder(async (folder) => {
    const write = async (files: Readonly<Record<string, string>>) => {
      for (const [name, text] of Object.entries(files)) {
        await Deno.mkdir(`${folder}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
        await Deno.writeTextFile(`${folder}/${name}`, text);
      }
    };
    const lock = (path: string, more: { readonly folder?: URL } = {}) =>
      lockFilter({ kind: "file", url: new URL(`file://${folder}/${path}`), ...more }, {
        fetch: () => Promise.reject(new Error("the network was asked")),
        files: denoFiles,
      });
    await write({
      "f/mod.ts":
        `import { a } from "./lib/a%20b.ts"; export default () => Promise.resolve({ a, url: import.meta.url });`,
      "f/lib/a b.ts":
        `import data from "../data.json" with { type: "json" }; export const a: number = data.a;`,
      "f/data.json": `{ "a": 7 }`,
      "secret.json": `{ "password": "x" }`,
    });
    await t.step("is packed under addresses that do not tell where it was", async () => {
      const { locked, archive } = await lock("f/mod.ts");
      const modules = ["local:///data.json", "local:///lib/a%20b.ts", "local:///mod.ts"];
      assert.deepEqual(Object.keys(locked.modules), modules);
      const cache = new ArchiveCache(denoFiles, `${folder}/cache`);
      await cache.write(archive);
      const graph = await loadPinned("./f/mod.ts", { filters: { "./f/mod.ts": locked } }, cache);
      assert.deepEqual(await runPinned(graph), { a: 7, url: "local:///mod.ts" });
      await Deno.rename(`${folder}/f`, `${folder}/g`);
      assert.deepEqual((await lock("g/mod.ts")).locked, locked);
      await Deno.rename(`${folder}/g`, `${folder}/f`);
    });
    const secret = (specifier: string) =>
      `import x from ${JSON.stringify(specifier)} with { type: "json" }; export default x;`;
    const rows: ReadonlyArray<readonly [string, string]> = [
      ["../secret.json", "it leads out of the filter's folder"],
      ["./lib/../../secret.json", "it leads out of the filter's folder"],
      ["./lib/..%2f..%2fsecret.json", "outside the filter's folder"],
      ["./%2e%2e/secret.json", "it leads out of the filter's folder"],
      [`${folder}/secret.json`, "an absolute path"],
      [`file://${folder}/secret.json`, "relative to the importing file"],
      ["local:///../secret.json", "it leads out of the filter's folder"],
      ["./link.json", "it is a link to"],
      ["./up/secret.json", "it is a link to"],
      ["./lib", "it is not a regular file"],
      ["./pipe.json", "it is not a regular file"],
      ["./none.json", "there is no such file"],
    ];
    await Deno.symlink(`${folder}/secret.json`, `${folder}/f/link.json`);
    await Deno.symlink(folder, `${folder}/f/up`);
    await new Deno.Command("mkfifo", { args: [`${folder}/f/pipe.json`] }).output();
    for (const [specifier, reason] of rows) {
      await t.step(`does not import ${specifier.replace(folder, "FOLDER")}`, async () => {
        await write({ "f/bad.ts": secret(specifier) });
        await assert.rejects(lock("f/bad.ts"), loadError("module", reason));
      });
    }
    await t.step("may share a wider folder if the administrator says so", async () => {
      await write({ "f/wide.ts": secret("../secret.json") });
      const { locked } = await lock("f/wide.ts", { folder: new URL(`file://${folder}/`) });
      assert.deepEqual(Object.keys(locked.modules), ["local:///f/wide.ts", "local:///secret.json"]);
    });
    await t.step("may itself be a link, but not be missing", async () => {
      await Deno.mkdir(`${folder}/links`);
      await Deno.symlink(`${folder}/f/lib/a b.ts`, `${folder}/links/entry.ts`);
      await write({ "f/lib/a b.ts": "export default {};" });
      assert.deepEqual(Object.keys((await lock("links/entry.ts")).locked.modules), ["local:///entry.ts"]);
      await assert.rejects(lock("f/gone.ts"), loadError("module", "/f/gone.ts: there is no such file"));
    });
    await t.step("has the same limits", async () => {
      await write({ "f/long.ts": "export default {};".padEnd(5 * 1024 * 1024) });
      await assert.rejects(lock("f/long.ts"), loadError("module", "it has 5242880 bytes, more than 4194304"));
    });
  });
});
