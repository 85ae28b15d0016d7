/**
 * The life of a filter by URL, with the program as its user has it: locked from a server, run by `serve` under exactly
 * what `flags` prints, used by real Postfix; without the server; with a damaged cache; with a changed module.
 */
import assert from "node:assert/strict";
import { command, type Program, run, start } from "../helpers/program.ts";
import { redirect, Site } from "../loader/site.ts";
import { values } from "../mta/mailbox.ts";
import { freePort, type Mta, mtaTest, postfixGroup, startMta } from "../mta/mta.ts";

/** Header field that the filter adds; `level` and `words` go there and back through the cycle, the enum, the JSON. */
const FIELD = "X-By-URL";

/** Several modules: an import cycle, an enum, JSON, a relative and an absolute import, a redirect to another host. */
function publish(site: Site): void {
  const pages: Record<string, string> = {
    "/filter/mod.ts": `import type { Filter, FilterEnv, Manifest } from "jsr:@millrace/millrace@^0.1";
import { level } from "./lib/level.ts";
import words from "./words.json" with { type: "json" };
import { far } from "${site.origin()}/common/far.ts";
import { moved } from "${site.origin()}/common/moved.ts";

interface Options { readonly place: string; readonly list: string; readonly secret: string }

export const manifest: Manifest = { name: "by-url", version: "1.0.0", permissions: { read: ["the list"] } };

export default async function (env: FilterEnv): Promise<Filter> {
  const { place, list, secret } = env.options as unknown as Options;
  const listed = (await Deno.readTextFile(list)).trim();
  const refused = await Deno.readTextFile(secret).then(() => "READ", (error) => error.name as string);
  return {
    message(mail, { addHeader }) {
      const subject = mail.headers.get("Subject") ?? "none";
      addHeader("${FIELD}", [level(), words.greeting, far, moved, place, listed, refused, subject].join(" "));
    },
  };
}
`,
    "/filter/lib/level.ts": `import { nameOf } from "../names.ts";
export enum Level { Low = 1, High = Low << 3 }
export const level = (): string => nameOf(Level.High);
`,
    "/filter/names.ts": `import { Level } from "./lib/level.ts";
export function nameOf(value: Level): string { return Level[value] + "=" + value; }
`,
    "/filter/words.json": `{ "greeting": "hello" }`,
    "/common/far.ts": `export const far: string = "absolute";\n`,
    "/elsewhere/moved.ts": `export { moved } from "./inner.ts";\n`,
    "/elsewhere/inner.ts": `export const moved = "redirected" as const;\n`,
  };
  for (const [path, text] of Object.entries(pages)) site.pages.set(path, text);
  // The same server under another name is another host.
  site.pages.set("/common/moved.ts", redirect(`${site.origin("localhost")}/elsewhere/moved.ts`));
}

/** What the filter then adds to a mail. */
const expected = (subject: string, greeting = "hello") =>
  `High=8 ${greeting} absolute redirected here listed NotCapable ${subject}`;

/** Everything that the administrator has: a folder with a configuration. */
interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  readonly socket: string;
  readonly use: string;
  lock(...args: readonly string[]): ReturnType<typeof run>;
  /** `serve` under what `flags` prints at this moment. */
  serve(): Promise<Program>;
  /** The same, to its end. */
  refusal(): ReturnType<typeof run>;
}

const SOURCE = new URL("../../", import.meta.url).pathname;

async function place(site: Site): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_url_filter_" });
  const config = `${folder}/m.yaml`;
  const socket = `inet:${freePort()}@127.0.0.1`;
  const use = `${site.origin()}/filter/mod.ts`;
  await Deno.writeTextFile(`${folder}/list`, "listed\n");
  await Deno.writeTextFile(`${folder}/secret`, "secret\n");
  await Deno.writeTextFile(
    config,
    `listen: "${socket}"
socket: { group: ${postfixGroup} }
log: { format: json }
filters:
- use: "${use}"
  name: by-url
  start_timeout: 30s
  options: { place: here, list: ${folder}/list, secret: ${folder}/secret }
  permissions: { read: [./list] }
`,
  );
  const flags = async (): Promise<readonly string[]> => {
    const { code, out, err } = await run(["--no-prompt", `--allow-read=${config}`], ["flags", "-c", config]);
    assert.deepEqual([code, err], [0, ""]);
    return out.trimEnd().split("\n");
  };
  const hosts = [site.origin(), site.origin("localhost")].map((origin) => new URL(origin).host);
  return {
    folder,
    config,
    socket,
    use,
    lock: (...args) =>
      run(
        [
          "--no-prompt",
          `--allow-net=${hosts.join(",")}`,
          `--allow-read=${folder},${SOURCE}`,
          `--allow-write=${folder}`,
        ],
        ["lock", "-c", config, ...args],
      ),
    async serve() {
      const program = start(command(await flags(), ["serve", "-c", config]));
      await program.until("Postfix, main.cf:");
      return program;
    },
    refusal: async () => await run(await flags(), ["serve", "-c", config]),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Sends one mail through something that asks the milter; gives the values of the filter's field. */
type Send = (subject: string) => Promise<readonly string[]>;

const mail = (subject: string) => `From: a@client.example\nSubject: ${subject}\n\nhi\n`;

/** `millrace send` plays Postfix. */
function byClient({ folder, socket }: Place): Send {
  return async (subject) => {
    await Deno.writeTextFile(`${folder}/mail.eml`, mail(subject));
    const { code, out, err } = await run(["--no-prompt", "--allow-net=127.0.0.1", `--allow-read=${folder}`], [
      "send",
      "--json",
      socket,
      `${folder}/mail.eml`,
    ]);
    assert.equal(code, 0, err);
    const [{ verdict, diff }] = JSON.parse(out) as readonly { verdict: string; diff: string }[];
    assert.equal(verdict, "continue");
    return [...diff.matchAll(new RegExp(`^\\+${FIELD}: (.*)$`, "gm"))].map(([, value]) => value);
  };
}

/** Postfix itself. */
function byPostfix(mta: Mta): Send {
  return async (subject) => {
    await using smtp = await mta.smtp();
    await smtp.ehlo();
    assert.equal((await smtp.mail("s@client.example")).code, 250);
    assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
    assert.equal((await smtp.data(mail(subject))).code, 250);
    await smtp.quit();
    const [delivered] = await mta.delivered(1);
    await mta.clear();
    return values(delivered, FIELD);
  };
}

/** From the first lock to the damaged cache and back. */
async function life(t: Deno.TestContext, site: Site, here: Place, send: Send): Promise<void> {
  await t.step(
    "lock shows every module, the redirect to another host, and what the filter wishes",
    async () => {
      const locked = await here.lock();
      assert.deepEqual([locked.code, locked.err], [0, ""]);
      assert.deepEqual(locked.out.trimEnd().split("\n"), [
        `+ ${here.use}`,
        `  + ${site.origin()}/common/far.ts`,
        `  + ${site.origin()}/filter/lib/level.ts`,
        `  + ${here.use}`,
        `  + ${site.origin()}/filter/names.ts`,
        `  + ${site.origin()}/filter/words.json`,
        `  + ${site.origin("localhost")}/elsewhere/inner.ts`,
        `  + ${site.origin("localhost")}/elsewhere/moved.ts`,
        `  + redirect ${site.origin()}/common/moved.ts -> ${
          site.origin("localhost")
        }/elsewhere/moved.ts (another host)`,
        "  + wishes for read: the list",
        `${here.folder}/millrace.lock: written, 1 filter pinned.`,
      ]);
    },
  );

  const asked = site.asked.length;
  await t.step("it runs, with the options and the one right that the configuration gives", async () => {
    await using program = await here.serve();
    assert.deepEqual(await send("one"), [expected("one")]);
    assert.match(program.log(), /was refused read access to \\"[^"]*\/secret\\"/);
    assert.equal(await program.stop(), 0);
    assert.equal(site.asked.length, asked, "serve asks no server");
  });

  await t.step("a module that changed on the server changes nothing until it is locked again", async () => {
    site.pages.set("/filter/words.json", `{ "greeting": "changed" }`);
    site.pages.set(
      "/filter/names.ts",
      `${site.pages.get("/filter/names.ts")}export { far } from "./extra.ts";\n`,
    );
    site.pages.set("/filter/extra.ts", `export const far = 1;\n`);
    const before = await Deno.readTextFile(`${here.folder}/millrace.lock`);
    const difference = `~ ${here.use}
  + ${site.origin()}/filter/extra.ts
  ~ ${site.origin()}/filter/names.ts
  ~ ${site.origin()}/filter/words.json
`;
    const checked = await here.lock("--check");
    assert.equal(checked.code, 1);
    assert.ok(checked.out.startsWith(difference), checked.out);
    assert.equal(await Deno.readTextFile(`${here.folder}/millrace.lock`), before);
    {
      await using _program = await here.serve();
      assert.deepEqual(await send("two"), [expected("two")]);
    }
    const locked = await here.lock();
    assert.deepEqual([locked.code, locked.err], [0, ""]);
    assert.ok(locked.out.startsWith(difference), locked.out);
  });

  await t.step("without the server it starts anew and works, with what was locked last", async () => {
    await site[Symbol.asyncDispose]();
    await assert.rejects(fetch(here.use));
    await using program = await here.serve();
    assert.deepEqual(await send("three"), [expected("three", "changed")]);
    assert.equal(await program.stop(), 0);
  });

  await t.step("one changed byte in the cache, and it does not start", async () => {
    const { archive } = JSON.parse(await Deno.readTextFile(`${here.folder}/millrace.lock`)).filters[here.use];
    const path = `${here.folder}/millrace.cache/${archive}.json`;
    const bytes = await Deno.readFile(path);
    // In the text of a module, so that everything else about the archive is as it was.
    const at = new TextDecoder("latin1").decode(bytes).indexOf("changed");
    assert.notEqual(at, -1);
    const damaged = bytes.slice();
    damaged[at] ^= 0x20;
    await Deno.writeFile(path, damaged);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", damaged)).toHex();
    const { code, err } = await here.refusal();
    assert.equal(code, 2, err);
    const [, found, pinned] = /its hash is (\S+), pinned is (\S+);/.exec(err) ?? [];
    assert.deepEqual([found, pinned], [`sha256-${digest}`, archive], err);
    assert.match(err, /^error: Cannot use the archive /m);
    assert.doesNotMatch(err, /Listening/);

    await Deno.writeFile(path, bytes);
    await using program = await here.serve();
    assert.deepEqual(await send("four"), [expected("four", "changed")]);
    assert.equal(await program.stop(), 0);
  });
}

Deno.test("a filter by URL: locked, served, without its server, with a damaged cache", async (t) => {
  await using site = new Site();
  publish(site);
  await using here = await place(site);
  await life(t, site, here, byClient(here));
});

mtaTest(
  "a filter by URL, with real Postfix: locked, served, without its server, with a damaged cache",
  async (t) => {
    await using site = new Site();
    publish(site);
    await using here = await place(site);
    await using mta = await startMta("postfix", { milter: here.socket });
    await life(t, site, here, byPostfix(mta));
  },
);
