// `millrace flags` is taken at its word: the program runs with exactly what it prints, and with nothing less.
import assert from "node:assert/strict";
import { command, IMPORT_MAP, MAIN, run, start } from "./helpers/program.ts";
import { values } from "./mta/mailbox.ts";
import { freePort, mtaTest, postfixGroup, startMta } from "./mta/mta.ts";

/** Uses every right that it is granted, once at its start and once for each mail. */
const FILTER = `
async function look() {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(PORT) });
  connection.close();
  const list = (await Deno.readTextFile("FOLDER/lists/words")).trim();
  await Deno.writeTextFile("FOLDER/seen", "x", { append: true });
  return [list, Deno.env.get("MILLRACE_TEST"), Deno.hostname().length > 0].join(" ");
}
export default async () => {
  await look();
  await Deno.readTextFile("/etc/passwd").catch(() => {});
  return { async message(_mail, c) { c.addHeader("X-Seen", await look()); } };
};
`;

interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  readonly inet: string;
  readonly unix: string;
  /** What \`millrace flags\` prints. */
  readonly flags: readonly string[];
}

const ENV = { MILLRACE_TEST: "from the environment" };

async function place(): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_flags_" });
  // Postfix must pass.
  await Deno.chmod(folder, 0o755);
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of server) connection.close();
  })();
  const close = async () => {
    server.close();
    await accepting;
    await Deno.remove(folder, { recursive: true });
  };
  try {
    const inet = `inet:${freePort()}@127.0.0.1`;
    const unix = `unix:${folder}/sockets/m.sock`;
    const config = `${folder}/m.yaml`;
    await Deno.mkdir(`${folder}/sockets`);
    await Deno.mkdir(`${folder}/control`);
    // As a program leaves it that was killed: whether somebody listens there has to be asked, which is a right as well.
    // Renamed, because Deno removes the file that it made.
    for (const left of ["sockets/m.sock", "control/c.sock"]) {
      const killed = Deno.listen({ transport: "unix", path: `${folder}/sockets/killed` });
      await Deno.rename(`${folder}/sockets/killed`, `${folder}/${left}`);
      killed.close();
    }
    await Deno.mkdir(`${folder}/lists`);
    await Deno.writeTextFile(`${folder}/lists/words`, "from the list\n");
    await Deno.writeTextFile(
      `${folder}/f.ts`,
      FILTER.replaceAll("FOLDER", folder).replace("PORT", String(server.addr.port)),
    );
    await Deno.writeTextFile(
      config,
      `listen: ["${inet}", "${unix}"]
threads: 2
socket: { mode: 0660, group: ${postfixGroup} }
control: "unix:${folder}/control/c.sock"
filters:
- use: ./f.ts
  start_timeout: 20s
  permissions:
    net: ["127.0.0.1:${server.addr.port}"]
    read: [./lists]
    write: [./seen]
    env: [MILLRACE_TEST]
    sys: [hostname]
`,
    );
    const source = new URL("../src", import.meta.url).pathname;
    const locked = await run(["--no-prompt", `--allow-read=${folder},${source}`, `--allow-write=${folder}`], [
      "lock",
      "-c",
      config,
    ]);
    assert.equal(locked.code, 0, locked.err);
    const printed = await run(["--no-prompt", `--allow-read=${config}`], ["flags", "-c", config]);
    assert.deepEqual([printed.code, printed.err], [0, ""]);
    return {
      folder,
      config,
      inet,
      unix,
      flags: printed.out.trimEnd().split("\n"),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

mtaTest(
  "serve under exactly what flags prints: real mail over TCP and a Unix socket, every grant used",
  async () => {
    await using here = await place();
    await using program = start(command(here.flags, ["serve", "-c", here.config], ENV));
    await program.until(`S=${here.unix}`);
    for (const milter of [here.inet, here.unix]) {
      await using mta = await startMta("postfix", { milter });
      await using smtp = await mta.smtp();
      await smtp.ehlo();
      assert.equal((await smtp.mail("s@client.example")).code, 250);
      assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
      assert.equal((await smtp.data("From: a@b.example\nSubject: x\n\nhi\n")).code, 250);
      await smtp.quit();
      const [mail] = await mta.delivered(1);
      assert.deepEqual(values(mail, "X-Seen"), ["from the list from the environment true"]);
    }
    assert.match(program.log(), /was refused read access to \\"\/etc\/passwd\\"/);
    // Warnings are for what goes beyond it: the file that was not granted, and nothing else.
    const warnings = program.log().trimEnd().split("\n").map((line) => JSON.parse(line)).filter(({ level }) =>
      level === "warn"
    );
    // Both threads have started the filter.
    const asked = warnings.map(({ right, thread }) => `${right} in thread ${thread ?? 0}`);
    assert.deepEqual(asked.toSorted(), ["read in thread 0", "read in thread 1"]);
    assert.equal(await program.stop(), 0);
  },
);

/** The flags with one right less, entry by entry; a flag with one entry goes as a whole. */
function* without(
  flags: readonly string[],
): Generator<{ readonly lost: string; readonly rest: readonly string[] }> {
  for (const [index, flag] of flags.entries()) {
    const [name, list] = flag.split("=", 2);
    // No right, and nothing fails without it.
    if (name === "--v8-flags") continue;
    const entries = list?.split(",") ?? [];
    for (const entry of entries) {
      const left = entries.filter((other) => other !== entry);
      yield {
        lost: `${name}=${entry}`,
        rest: left.length === 0
          ? flags.toSpliced(index, 1)
          : flags.toSpliced(index, 1, `${name}=${left.join(",")}`),
      };
    }
  }
}

Deno.test("with any entry less than flags prints, serve does not start, and says which flag is missing", async (t) => {
  await using here = await place();
  const entries = [...without(here.flags)];
  assert.ok(entries.length >= 18, here.flags.join("\n"));
  for (const { lost, rest } of entries) {
    await t.step(lost.replaceAll(here.folder, "FOLDER"), async () => {
      await using program = start(command(rest, ["serve", "-c", here.config], ENV));
      await assert.rejects(program.until(`S=${here.unix}`), /it ended without/, "it serves all the same");
      const code = await program.stop();
      const err = program.log();
      assert.ok(code === 1 || code === 2, `it ended with ${code}:\n${err}`);
      assert.match(err, /^error: Cannot /m);
      const [name, entry] = lost.split("=");
      // Where to listen fails by what is missed first.
      const named = err.includes(name) && err.includes(entry) ||
        /Cannot listen .*--allow-(?:read|write|net)=/.test(err) ||
        /Cannot read .*(?:m\.yaml|millrace\.lock|millrace\.cache)/.test(err);
      assert.ok(named, err);
    });
  }
});

Deno.test("a reload to what the flags do not cover is refused, and says which flag is missing", async () => {
  await using here = await place();
  await using program = start(command(here.flags, ["serve", "-c", here.config], ENV));
  await program.until(`S=${here.unix}`);
  const text = await Deno.readTextFile(here.config);
  const port = freePort();
  for (
    const [before, after, flag] of [
      ["listen: [", `listen: ["inet:${port}@127.0.0.1", `, `--allow-net=127.0.0.1:${port}`],
      ["control/c.sock", "control/other.sock", `unix:${here.folder}/control/other.sock`],
      ["sys: [hostname]", "sys: [hostname, osRelease]", "--allow-sys=osRelease"],
    ]
  ) {
    const changed = text.replace(before, after);
    assert.notEqual(changed, text);
    await Deno.writeTextFile(here.config, changed);
    program.hangUp();
    await program.until(flag);
  }
  await Deno.writeTextFile(here.config, text);
  program.hangUp();
  await program.until('"message":"Reloaded ');
  assert.deepEqual(program.records().filter(({ level }) => level === "error").map(({ message }) => message), [
    "Reload refused, everything goes on as before",
    "Reload refused, everything goes on as before",
    "Reload refused, everything goes on as before",
  ]);
  assert.equal(await program.stop(), 0);
});

Deno.test("each flag against imports keeps code from the network out; with either one missing Deno asks for it", async () => {
  await using here = await place();
  assert.deepEqual(here.flags.slice(0, 3), ["--no-prompt", "--allow-import", "--deny-import"]);
  const probe = `${here.folder}/probe.ts`;
  await Deno.writeTextFile(
    probe,
    'await import("https://esm.sh/millrace-" + "probe.ts").catch((error) => console.log(error.message));',
  );
  // In place of the network: it only counts who comes.
  let asked = 0;
  const proxy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of proxy) {
      asked++;
      connection.close();
    }
  })();
  try {
    const askedWith = async (flags: readonly string[]) => {
      asked = 0;
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-config", "--quiet", ...flags, probe],
        env: { HTTPS_PROXY: `http://127.0.0.1:${proxy.addr.port}`, NO_PROXY: "", no_proxy: "" },
        stdin: "null",
      }).output();
      return { asked: asked > 0, refused: /Requires import access/.test(new TextDecoder().decode(stdout)) };
    };
    assert.deepEqual(await askedWith(here.flags), { asked: false, refused: true });
    for (const lost of ["--allow-import", "--deny-import"]) {
      const rest = here.flags.filter((flag) => flag !== lost);
      assert.deepEqual(await askedWith(rest), { asked: true, refused: false }, `without ${lost}`);
    }
  } finally {
    proxy.close();
    await accepting;
  }
  const open = start(
    command(here.flags.filter((flag) => flag !== "--deny-import"), ["serve", "-c", here.config], ENV),
  );
  await open.until("would let this program import code from the network");
  await open.stop();
});

async function hasScript(): Promise<boolean> {
  try {
    return (await new Deno.Command("script", { args: ["--version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const noTerminal = !await hasScript();
if (noTerminal) {
  console.warn('SKIPPED "--no-prompt": `script` of util-linux is not installed, so there is no terminal');
}

Deno.test({
  name: `without --no-prompt a filter would make Deno ask on the terminal${
    noTerminal ? " (SKIPPED: no script)" : ""
  }`,
  ignore: noTerminal,
  async fn() {
    await using here = await place();
    const onTerminal = (flags: readonly string[]) => {
      const words = [
        Deno.execPath(),
        "run",
        "--no-check",
        "--quiet",
        ...IMPORT_MAP,
        ...flags,
        MAIN,
        "serve",
        "-c",
        here.config,
      ];
      const line = `exec ${words.map((word) => `'${word}'`).join(" ")}`;
      return start(
        new Deno.Command("script", {
          args: ["--quiet", "--return", "--command", line, "/dev/null"],
          env: { ...ENV, NO_COLOR: "1" },
          stdin: "null",
          stdout: "piped",
          stderr: "piped",
        }),
      );
    };
    await using quiet = onTerminal(here.flags);
    await quiet.until(`S=${here.unix}`);
    assert.match(quiet.log(), /was refused read access to "\/etc\/passwd"/);
    await quiet.stop();
    await using asking = onTerminal(here.flags.filter((flag) => flag !== "--no-prompt"));
    await asking.until("Deno requests ");
    assert.ok(!asking.log().includes("Listening"));
  },
});
