import assert from "node:assert/strict";
import { readArgs } from "../args.ts";
import type { Command } from "../command.ts";
import { CommandError } from "../command.ts";
import { testIo } from "../test_io.ts";
import { command as check } from "./check.ts";
import { command as lock } from "./lock.ts";
import { command as tryCommand } from "./try.ts";

/** A folder with a configuration, and a server of modules that can be changed. */
interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly origin: string;
  /** Modules by path: `/mod.ts`. */
  readonly modules: Map<string, string>;
  configure(...filters: readonly string[]): Promise<void>;
  /** Runs a command on the configuration; a CommandError counts as its message. */
  run(command: Command, ...args: readonly string[]): Promise<{ code: number; out: string; err: string }>;
  /** The server goes away. */
  unplug(): Promise<void>;
}

async function place(): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_lock_" });
  const modules = new Map<string, string>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const text = modules.get(new URL(request.url).pathname);
    if (text === undefined) return new Response("none", { status: 404 });
    return new Response(text, { headers: { "content-type": "application/typescript" } });
  });
  let plugged = true;
  const unplug = async () => {
    if (plugged) await server.shutdown();
    plugged = false;
  };
  return {
    folder,
    origin: `http://127.0.0.1:${server.addr.port}`,
    modules,
    configure: (...filters) =>
      Deno.writeTextFile(
        `${folder}/m.yaml`,
        `listen: inet:0@127.0.0.1\nfilters:\n${filters.map((f) => `- ${f}\n`).join("")}`,
      ),
    async run(command, ...args) {
      const io = testIo();
      try {
        const code = await command.run(readArgs(command.spec, ["-c", `${folder}/m.yaml`, ...args]), io);
        return { code, out: io.out(), err: io.err() };
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        return { code: error.exitCode, out: io.out(), err: error.message };
      }
    },
    unplug,
    async [Symbol.asyncDispose]() {
      await unplug();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const FILTER = `import { mark } from "./mark.ts";
export const manifest = { name: "marker", version: "1.2.3", permissions: { net: ["clamd.example:3310"] } };
export default { message(_mail: unknown, c: { addHeader(n: string, v: string): void }) { c.addHeader("X-Mark", mark); } };
`;

Deno.test("lock pins a filter by URL; check and try run what it pinned, without the server", async () => {
  await using here = await place();
  const { origin, modules, folder } = here;
  modules.set("/mod.ts", FILTER);
  modules.set("/mark.ts", "export const mark: string = 'first';\n");
  await here.configure(`use: ${origin}/mod.ts\n  permissions: { read: [./lists] }\n  name: marker`);

  const early = await here.run(check);
  assert.equal(early.code, 2);
  assert.match(early.err, /there is no lock file .*millrace\.lock.*write it with millrace lock -c/);

  const first = await here.run(lock);
  assert.deepEqual([first.code, first.err], [0, ""]);
  assert.equal(
    first.out,
    `+ ${origin}/mod.ts
  + ${origin}/mark.ts
  + ${origin}/mod.ts
  + wishes for net: clamd.example:3310
${folder}/millrace.lock: written, 1 filter pinned.
`,
  );
  const again = await here.run(lock);
  assert.deepEqual(again, {
    code: 0,
    out: `${folder}/millrace.lock: nothing changed, 1 filter pinned.\n`,
    err: "",
  });
  assert.equal((await here.run(lock, "--check")).code, 0);

  await here.unplug();
  await Deno.mkdir(`${folder}/lists`);
  const checked = await here.run(check);
  assert.equal(checked.code, 0, checked.err);
  assert.match(checked.out, /^filter marker \(http:.*\/mod\.ts\): marker 1\.2\.3$/m);
  assert.match(checked.out, /^ {2}hooks +message$/m);
  assert.match(checked.out, /^ {2}right +net clamd\.example:3310: wished, not granted$/m);
  assert.match(checked.out, /^ {2}right +read \.\/lists: granted, not wished$/m);

  await Deno.writeTextFile(`${folder}/a.eml`, "Subject: x\n\nhi\n");
  const tried = await here.run(tryCommand, `${folder}/a.eml`);
  assert.match(tried.out, /^\+X-Mark: first$/m);

  // One byte of the cache.
  const [archive] = [...Deno.readDirSync(`${folder}/millrace.cache`)].filter(({ isFile }) => isFile);
  const path = `${folder}/millrace.cache/${archive.name}`;
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, text.replace("'first'", "'worst'"));
  assert.notEqual(await Deno.readTextFile(path), text);
  const refused = await here.run(check);
  assert.equal(refused.code, 2);
  const [found, pinned] = /its hash is (\S+), pinned is (\S+);/.exec(refused.err)!.slice(1);
  assert.ok(found !== pinned && archive.name.includes(pinned), refused.err);
});

Deno.test("lock shows what changed, and --check changes nothing", async () => {
  await using here = await place();
  const { origin, modules, folder } = here;
  modules.set("/mod.ts", FILTER);
  modules.set("/mark.ts", "export const mark = 'first';\n");
  await here.configure(`use: ${origin}/mod.ts`);
  assert.equal((await here.run(lock)).code, 0);
  const before = await Deno.readTextFile(`${folder}/millrace.lock`);

  modules.set(
    "/mod.ts",
    FILTER.replace("./mark.ts", "./other.ts").replace("clamd.example:3310", "evil.example"),
  );
  modules.set("/other.ts", "export const mark = 'other';\n");
  const checked = await here.run(lock, "--check");
  assert.equal(checked.code, 1);
  const change = `~ ${origin}/mod.ts
  - ${origin}/mark.ts
  ~ ${origin}/mod.ts
  + ${origin}/other.ts
  ~ wishes for net: evil.example (was clamd.example:3310)
`;
  assert.equal(
    checked.out,
    `${change}${folder}/millrace.lock would change; run millrace lock without --check.\n`,
  );
  assert.equal(await Deno.readTextFile(`${folder}/millrace.lock`), before);
  const updated = await here.run(lock);
  assert.equal(updated.out, `${change}${folder}/millrace.lock: written, 1 filter pinned.\n`);

  await Deno.remove(`${folder}/millrace.cache`, { recursive: true });
  const gone = await here.run(lock, "--check");
  assert.equal(gone.code, 1);
  assert.match(gone.out, /^! http:.*\/mod\.ts: not in the cache$/m);
  assert.match((await here.run(check)).err, /its archive .* is missing; run millrace lock/);

  await here.configure("use: bundled:footer\n  options: { text: x }");
  assert.equal(
    (await here.run(lock)).out,
    `- ${origin}/mod.ts\n${folder}/millrace.lock: written, 0 filters pinned.\n`,
  );
});

Deno.test("a filter in a file runs as it was when it was locked; try takes it as it is", async () => {
  await using here = await place();
  const { folder } = here;
  await here.configure("use: ./f.ts");
  const filter = (mark: string) =>
    FILTER.replace('import { mark } from "./mark.ts";', `const mark: string = "${mark}";`);
  await Deno.writeTextFile(`${folder}/f.ts`, filter("old"));
  assert.equal((await here.run(lock)).code, 0);
  await Deno.writeTextFile(
    `${folder}/f.ts`,
    filter("new").replace("message(", "endOfMessage(c: never) {}, message("),
  );
  assert.match((await here.run(check)).out, /^ {2}hooks +message$/m);
  await Deno.writeTextFile(`${folder}/a.eml`, "Subject: x\n\nhi\n");
  assert.match((await here.run(tryCommand, `${folder}/a.eml`)).out, /^\+X-Mark: new$/m);
  assert.equal((await here.run(lock, "--check")).code, 1);
});

Deno.test("lock names the filter, the module and who imported it when it cannot be had", async () => {
  await using here = await place();
  const { origin, modules, folder } = here;
  await here.configure(`use: ${origin}/mod.ts\n  name: marker`);
  modules.set("/mod.ts", FILTER);
  const { code, err } = await here.run(lock);
  assert.equal(code, 1);
  assert.match(err, /^Cannot lock filter "marker": .*mark\.ts.*404[^]*imported by http:.*mod\.ts:1/);
  await assert.rejects(Deno.stat(`${folder}/millrace.lock`), Deno.errors.NotFound);

  modules.set("/mod.ts", "throw new Error('not today');\n");
  const thrown = await here.run(lock);
  assert.equal(thrown.code, 1);
  assert.match(thrown.err, /^Cannot lock filter "marker": its module cannot be loaded: Error: not today$/);
});

Deno.test("a module that is run for its manifest has no rights", async () => {
  await using here = await place();
  const { origin, modules } = here;
  modules.set(
    "/mod.ts",
    `try { Deno.readTextFileSync("/etc/passwd"); } catch (error) { throw new Error("refused: " + error.name); }
export default { message() {} };`,
  );
  await here.configure(`use: ${origin}/mod.ts\n  permissions: { read: [/etc/passwd] }`);
  assert.match((await here.run(lock)).err, /cannot be loaded: /);
  // Its function is not called for that, so it may ask for rights there.
  modules.set(
    "/mod.ts",
    "export default async () => { await Deno.readTextFile('/etc/hostname'); return { message() {} }; };",
  );
  assert.equal((await here.run(lock)).code, 0);
  assert.match((await here.run(check)).err, /its function failed: Requires read access to "\/etc\/hostname"/);
});

Deno.test("lock passes over milters that run elsewhere", async () => {
  await using here = await place();
  const { origin, modules } = here;
  modules.set("/mod.ts", "export default { helo() {} };\n");
  await here.configure(
    "upstream: unix:/run/opendkim.sock",
    `use: ${origin}/mod.ts`,
    "upstream: inet:11332@127.0.0.1",
  );
  const { code, out, err } = await here.run(lock);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /: written, 1 filter pinned\.$/m);
  const { filters } = JSON.parse(await Deno.readTextFile(`${here.folder}/millrace.lock`));
  assert.deepEqual(Object.keys(filters), [`${origin}/mod.ts`]);
  // A milter that runs elsewhere must not be left out unseen either.
  const checked = await here.run(check);
  assert.equal(checked.code, 2);
  assert.match(checked.err, /^Cannot run 3 filters \(mod, opendkim\.sock, 127\.0\.0\.1_11332\)/);
});
