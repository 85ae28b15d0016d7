import assert from "node:assert/strict";
import { main } from "./main.ts";
import { testIo, type TestIoOptions } from "./test_io.ts";
import { VERSION } from "./version.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const ROOT = new URL("../../", import.meta.url).pathname;
// The child takes its imports from where this process does.
const IMPORTS = import.meta.resolve("@std/yaml").startsWith("file:")
  ? [`--import-map=${ROOT}deploy/npm.import_map.json`]
  : [];

async function inProcess(args: readonly string[], options?: TestIoOptions) {
  const io = testIo(options);
  const code = await main(args, io);
  return { code, out: io.out(), err: io.err() };
}

function child(permissions: readonly string[], args: readonly string[], env: Record<string, string> = {}) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--quiet", ...IMPORTS, ...permissions, MAIN, ...args],
    cwd: ROOT,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(permissions: readonly string[], args: readonly string[], env?: Record<string, string>) {
  const { code, stdout, stderr } = await child(permissions, args, env).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("main() shows help and version everywhere", async () => {
  for (const args of [["--help"], ["-h"], ["help"]]) {
    const { code, out, err } = await inProcess(args);
    assert.equal(code, 0);
    assert.match(out, /^millrace: .*\n\nUsage: millrace COMMAND/);
    assert.equal(err, "");
    for (const name of ["serve", "reload", "check", "lock", "flags", "try", "send", "schema"]) {
      assert.match(out, new RegExp(`^ {2}${name} +\\S`, "m"));
    }
  }
  for (const args of [["--version"], ["-V"], ["serve", "--version"]]) {
    const { code, out } = await inProcess(args);
    assert.deepEqual([code, out], [0, `millrace ${VERSION} (deno ${Deno.version.deno})\n`]);
  }
  for (const name of ["serve", "reload", "check", "lock", "flags", "try", "send", "schema"]) {
    for (const args of [[name, "--help"], ["help", name], [name, "--wrong", "-h"]]) {
      const { code, out } = await inProcess(args);
      assert.equal(code, 0, args.join(" "));
      assert.match(out, new RegExp(`\\n\\nUsage: millrace ${name}\\b.*\\n`), args.join(" "));
    }
  }
});

Deno.test("main() answers wrong usage on standard error with the nearest word, and 2", async () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], "error: no command given\nRun `millrace --help` for what there is.\n"],
    [
      ["srve"],
      'error: "srve" is no command; did you mean serve?\nRun `millrace --help` for what there is.\n',
    ],
    [
      ["-c", "x"],
      'error: "-c" is an option, where a command is expected; known are serve, reload, check, lock, flags, try, send, schema\n' +
      "Run `millrace --help` for what there is.\n",
    ],
    [["serve"], "error: --config FILE is missing\nRun `millrace serve --help` for what there is.\n"],
    [
      ["check", "--confg", "x"],
      'error: unknown option "--confg"; did you mean --config?\nRun `millrace check --help` for what there is.\n',
    ],
    [["try", "-c", "x"], "error: MAIL.eml… is missing\nRun `millrace try --help` for what there is.\n"],
  ];
  for (const [args, expected] of cases) {
    const { code, out, err } = await inProcess(args);
    assert.deepEqual([code, out, err], [2, "", expected]);
  }
});

Deno.test("main() shows mistakes in the configuration with their place, and gives 2", async () => {
  const { code, out, err } = await inProcess(["check", "-c", "m.yaml"], {
    files: { "m.yaml": "listen: tcp:127.0.0.1:8891\nfiltres: []\n" },
  });
  assert.deepEqual([code, out], [2, ""]);
  assert.match(
    err,
    /^m\.yaml:1:1: filters: .*\nm\.yaml:1:9: listen: .*\nm\.yaml:2:1: unknown key "filtres"; did you mean filters\?\nerror: the configuration cannot be used\n$/,
  );
});

Deno.test("main() colours errors on a terminal only", async () => {
  const { err } = await inProcess(["x"], { isTerminal: true, color: true });
  assert.ok(err.startsWith("\x1b[31merror\x1b[0m: "), err);
  assert.match((await inProcess(["x"], { isTerminal: true })).err, /^error: /);
});

Deno.test("the program needs no permission for help, version and usage errors", async () => {
  const help = await run([], ["--help"]);
  assert.deepEqual([help.code, help.err], [0, ""]);
  assert.match(help.out, /^millrace: /);
  assert.deepEqual(await run([], ["serve", "-V"], { NO_COLOR: "1" }), {
    code: 0,
    out: `millrace ${VERSION} (deno ${Deno.version.deno})\n`,
    err: "",
  });
  const wrong = await run([], ["serev"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /did you mean serve\?/);
});

Deno.test("the program checks and tries with the right to read, and nothing else", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_main_" });
  try {
    await Deno.writeTextFile(
      `${folder}/f.ts`,
      "export default { message(_mail, c) { c.addHeader('X-A', 'b'); } };",
    );
    await Deno.writeTextFile(
      `${folder}/m.yaml`,
      "listen: inet:0@127.0.0.1\nfilters: [{ use: ./f.ts, isolation: none }]\n",
    );
    await Deno.writeTextFile(`${folder}/a.eml`, "Subject: x\n\ny\n");
    const read = [`--allow-read=${folder}`];
    const checked = await run(read, ["check", "-c", `${folder}/m.yaml`]);
    assert.deepEqual([checked.code, checked.err], [0, ""]);
    assert.match(checked.out, /^filter f \(\.\/f\.ts\)$/m);
    const tried = await run(read, ["try", "-c", `${folder}/m.yaml`, `${folder}/a.eml`]);
    assert.deepEqual([tried.code, tried.err], [0, ""]);
    assert.match(tried.out, /^\+X-A: b$/m);
    const refused = await run([`--allow-read=${folder}/m.yaml`], ["check", "-c", `${folder}/m.yaml`]);
    assert.equal(refused.code, 2);
    assert.match(
      refused.err,
      /^error: Cannot load filter "f" .*Deno was started without a right that this needs: .*f\.ts/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the program serves with the rights to read and to listen, reads the configuration anew at SIGHUP, ends with 0 at SIGTERM", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_main_" });
  try {
    await Deno.writeTextFile(`${folder}/f.ts`, "export default { message() {} };");
    await Deno.writeTextFile(
      `${folder}/m.yaml`,
      "listen: inet:0@127.0.0.1\nfilters: [{ use: ./f.ts, isolation: none }]\n",
    );
    const permissions = [`--allow-read=${folder}`, "--allow-net=127.0.0.1:0"];
    await using served = child(permissions, ["serve", "-c", `${folder}/m.yaml`]).spawn();
    const stdout = new Response(served.stdout).text();
    const reader = served.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let err = "";
    const until = async (text: string) => {
      while (!err.includes(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`it ended without "${text}":\n${err}`);
        err += value;
      }
    };
    await until("INPUT_MAIL_FILTER");
    served.kill("SIGHUP");
    await until(`"message":"Reloaded ${folder}/m.yaml in `);
    served.kill("SIGTERM");
    await until('"message":"Stopped"');
    assert.equal((await served.status).code, 0);
    // Not a terminal: every line is JSON, and standard output stays free.
    for (const line of err.trimEnd().split("\n")) assert.equal(typeof JSON.parse(line).level, "string");
    assert.equal(await stdout, "");
    await reader.cancel();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the program writes the JSON Schema without any permission", async () => {
  const { code, out } = await run([], ["schema"]);
  assert.equal(code, 0);
  assert.equal(out, await Deno.readTextFile(`${ROOT}deploy/millrace.schema.json`));
});
