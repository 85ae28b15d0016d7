// The compiled program: what is in it, and, where its base is at hand, what it does. Without the base the same is
// proven of the program from source, under the flags that would be baked in.
import assert from "node:assert/strict";
import { importsOf, readTree } from "../../tests/import_walk.ts";
import { command, run, start } from "../../tests/helpers/program.ts";
import { values } from "../../tests/mta/mailbox.ts";
import { freePort, mtaTest, startMta } from "../../tests/mta/mta.ts";
import { bundledFilters, WORKER_ENTRIES } from "./compile_files.ts";

const ROOT = new URL("../../", import.meta.url);
const IMPORTS = import.meta.resolve("@std/yaml").startsWith("file:")
  ? [`--import-map=${new URL("deploy/npm.import_map.json", ROOT).pathname}`]
  : [];

/** All modules that are neither tests nor for tests only. */
const sources = [...readTree(ROOT, ["src", "filters"])].filter(([path]) => !path.endsWith("_test.ts"));

Deno.test("the compile task names every module that starts as a thread", () => {
  const entries = sources.flatMap(([path, text]) =>
    [...text.matchAll(/new URL\(\s*"(\.\/[^"]+\.ts)",\s*import\.meta\.url\s*\)/g)].map(([, file]) =>
      new URL(file, new URL(path, ROOT)).href.slice(ROOT.href.length)
    )
  );
  assert.deepEqual(entries.toSorted(), [...WORKER_ENTRIES].sort());
});

/** Runs the compile task. */
async function compile(
  config: string,
  output: string,
  env: Record<string, string> = {},
): Promise<{ readonly code: number; readonly text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--quiet",
      "--no-prompt",
      ...IMPORTS,
      "--allow-read",
      "--allow-run",
      new URL("compile.ts", import.meta.url).href,
      "-c",
      config,
      "-o",
      output,
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** The files in the tree that \`deno compile\` prints. */
function embedded(text: string): Set<string> {
  const files = new Set<string>();
  const folders: string[] = [];
  for (const line of text.split("\n")) {
    const parts = /^((?:[│ ] )*)[├└]─([┬─])─? (.+?)(?: \([^)]*\))?$/.exec(line);
    if (parts === null) continue;
    const [, indent, kind, name] = parts;
    folders.length = indent.length / 2;
    if (kind === "┬") folders.push(name);
    else files.add([...folders, name].join("/"));
  }
  return files;
}

/** Everything that a module imports, and what those import. */
function reachable(entries: readonly string[]): Set<string> {
  const texts = new Map(sources);
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { target, typesOnly } of importsOf(path, texts.get(path) ?? "")) {
      if (target !== undefined && !typesOnly && texts.has(target)) visit(target);
    }
  };
  for (const entry of entries) visit(entry);
  return seen;
}

Deno.test("the compile step embeds every module of the program, its threads and its filters, and bakes in the flags", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_compile_" });
  try {
    const config = new URL("deploy/millrace.yaml", ROOT).pathname;
    // In place of denort: the file that comes out is not a program, but all steps up to it are the real ones.
    const { code, text } = await compile(config, `${folder}/millrace`, {
      DENORT_BIN: await Deno.realPath(Deno.execPath()),
    });
    assert.equal(code, 0, text);
    const files = embedded(text);
    const wanted = reachable(["src/cli/main.ts", ...WORKER_ENTRIES, ...bundledFilters(ROOT)]);
    assert.ok(wanted.size > 50, "the walk through the imports found next to nothing");
    assert.deepEqual([...wanted].filter((path) => !files.has(path)), [], text);
    assert.deepEqual([...files].filter((path) => path.endsWith("_test.ts")), []);
    for (const name of ["footer", "rules"]) assert.ok(files.has(`filters/${name}/mod.ts`), name);
    const flags = [...text.matchAll(/^ {2}(--\S+)$/gm)].map(([, flag]) => flag);
    assert.deepEqual(flags, [
      "--no-prompt",
      "--allow-import",
      "--deny-import",
      "--allow-net=127.0.0.1:8891",
      `--allow-read=${config}`,
      "--v8-flags=--max-semi-space-size=4",
    ]);
    // A file with the program in it, not only its base.
    const [made, base] = await Promise.all([
      Deno.stat(`${folder}/millrace`),
      Deno.stat(await Deno.realPath(Deno.execPath())),
    ]);
    assert.ok(made.size > base.size);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the compile task refuses what it does not understand, and a configuration that cannot be used", async () => {
  const missing = await compile("/nowhere/m.yaml", "/nowhere/millrace");
  assert.equal(missing.code, 2);
  assert.match(missing.text, /Cannot read the configuration "\/nowhere\/m\.yaml": there is no such file/);
});

const FILTER = `import { mark } from "./mark.ts";
export default {
  message(mail, c) {
    if (mail.headers.get("Subject")?.trim() === "spin") for (;;);
    if (mail.headers.get("Subject")?.trim() === "out") Deno.readTextFileSync?.("/etc/passwd");
    c.addHeader("X-Mark", mark);
  },
};
`;

/** A filter by URL, locked from source; its server is gone. */
async function locked(): Promise<
  { readonly config: string; readonly inet: string; readonly folder: string }
> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_compiled_" });
  const modules: Readonly<Record<string, string>> = {
    "/mod.ts": FILTER,
    "/mark.ts": "enum Mark { One = 'compiled' }\nexport const mark: string = Mark.One;\n",
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) =>
      new Response(modules[new URL(request.url).pathname], {
        headers: { "content-type": "application/typescript" },
      }),
  );
  try {
    const config = `${folder}/m.yaml`;
    const inet = `inet:${freePort()}@127.0.0.1`;
    const host = `127.0.0.1:${server.addr.port}`;
    await Deno.writeTextFile(
      config,
      `listen: "${inet}"\nfilters:\n- use: http://${host}/mod.ts\n  timeout: 1s\n`,
    );
    const source = new URL("src", ROOT).pathname;
    const { code, err } = await run(
      ["--no-prompt", `--allow-read=${folder},${source}`, `--allow-write=${folder}`, `--allow-net=${host}`],
      ["lock", "-c", config],
    );
    assert.equal(code, 0, err);
    return { config, inet, folder };
  } finally {
    await server.shutdown();
  }
}

/** What the program does to mail: the filter works, is killed when it spins, and works again. */
async function provesItself(made: Deno.Command, inet: string): Promise<void> {
  await using program = start(made);
  await program.until("INPUT_MAIL_FILTER");
  await using mta = await startMta("postfix", { milter: inet });
  const send = async (subject: string): Promise<number> => {
    await using smtp = await mta.smtp();
    await smtp.ehlo();
    assert.equal((await smtp.mail("s@client.example")).code, 250, program.log());
    assert.equal((await smtp.rcpt("one@lab.example")).code, 250);
    const { code } = await smtp.data(`From: a@b.example\nSubject: ${subject}\n\nhi\n`);
    await smtp.quit();
    return code;
  };
  assert.equal(await send("first"), 250);
  assert.equal(await send("spin"), 451);
  // From here on there is a new sandbox; who connects to the old one until then gets the policy as well.
  await program.until("ended (timeout)");
  assert.equal(await send("second"), 250, program.log());
  const mails = await mta.delivered(2);
  for (const mail of mails) assert.deepEqual(values(mail, "X-Mark"), ["compiled"]);
  assert.equal(await program.stop(), 0);
}

mtaTest(
  "from source, under the flags that a compiled program gets: URL filter, sandbox, kill, real Postfix",
  async () => {
    const { config, inet, folder } = await locked();
    try {
      const { code, out, err } = await run(["--no-prompt", `--allow-read=${config}`], [
        "flags",
        "-c",
        config,
      ]);
      assert.equal(code, 0, err);
      await provesItself(command(out.trimEnd().split("\n"), ["serve", "-c", config]), inet);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** Why there is no base for a compiled program here; undefined if there is one. */
async function noBase(): Promise<string | undefined> {
  const given = Deno.env.get("DENORT_BIN");
  if (given && await Deno.realPath(given) === await Deno.realPath(Deno.execPath())) {
    return "DENORT_BIN is Deno itself";
  }
  const folder = await Deno.makeTempDir({ prefix: "millrace_denort_" });
  try {
    await Deno.writeTextFile(`${folder}/a.ts`, "console.log('runs');");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["compile", "--no-config", "--quiet", `--output=${folder}/a`, `${folder}/a.ts`],
      env: { NO_COLOR: "1" },
    }).output();
    return success
      ? undefined
      : /^ *1: (.*)$/m.exec(new TextDecoder().decode(stderr))?.[1] ?? "denort cannot be had";
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const missing = await noBase();
const NAME = "the compiled program: URL filter, sandbox, kill, real Postfix";
if (missing !== undefined) {
  console.warn(
    `SKIPPED "${NAME}": there is no denort here (${missing}); set DENORT_BIN to one. The compile step itself, and the ` +
      "program from source under the same flags, are tested all the same.",
  );
} else {
  mtaTest(NAME, async () => {
    const { config, inet, folder } = await locked();
    try {
      const { code, text } = await compile(config, `${folder}/millrace`);
      assert.equal(code, 0, text);
      await provesItself(
        new Deno.Command(`${folder}/millrace`, {
          args: ["serve", "-c", config],
          cwd: "/",
          stdin: "null",
          stdout: "piped",
          stderr: "piped",
        }),
        inet,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
