// The two import maps have to stay each other's equal, and every version exact.
import assert from "node:assert/strict";

type Imports = Readonly<Record<string, string>>;

async function importsIn(path: string): Promise<Imports> {
  const text = await Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, "")).imports;
}

/** What only the stand-ins for @std import. */
const FOR_STAND_INS = ["@sinonjs/fake-timers", "js-yaml"];

Deno.test("both import maps know the same names, at the same exact versions", async () => {
  const [jsr, npm] = [await importsIn("deno.json"), await importsIn("deploy/npm.import_map.json")];
  const common = Object.keys(npm).filter((name) => !FOR_STAND_INS.includes(name));
  assert.deepEqual(common.sort(), Object.keys(jsr).sort());
  for (const [name, target] of Object.entries(jsr)) {
    if (target.startsWith("npm:")) assert.equal(npm[name], target, name);
  }
  for (const target of [...Object.values(jsr), ...Object.values(npm)].filter((it) => !it.startsWith("."))) {
    assert.match(target, /^(?:npm|jsr):@?[^@]+@\d+\.\d+\.\d+(?:\/[\w-]+)?$/, "not an exact version");
  }
});

Deno.test("a wrong MILLRACE_IMPORTS stops the command that asked", async () => {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", "--allow-env", new URL("import_map.ts", import.meta.url).href],
    env: { MILLRACE_IMPORTS: "both" },
  });
  const { code, stdout, stderr } = await command.output();
  assert.equal(code, 2);
  assert.match(new TextDecoder().decode(stderr), /MILLRACE_IMPORTS is "both", expected "jsr" or "npm"/);
  assert.match(new TextDecoder().decode(stdout), /^--import-map=see-the-message-above\s*$/);
});

Deno.test("the npm map is taken where JSR's address answers with something else", async () => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("no such package", { status: 404 });
  });
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-config",
      "--allow-env",
      "--allow-net=127.0.0.1",
      new URL("import_map.ts", import.meta.url).href,
      "run",
    ],
    env: { MILLRACE_IMPORTS: "", JSR_URL: `http://127.0.0.1:${server.addr.port}`, CI: "" },
  });
  const { code, stdout, stderr } = await command.output();
  assert.equal(code, 0);
  assert.match(new TextDecoder().decode(stderr), /npm only .* answers 404 for \/@std\/yaml\/meta\.json/);
  assert.equal(
    new TextDecoder().decode(stdout).trim(),
    "--import-map=deploy/npm.import_map.json --lock=deploy/npm.lock --allow-import --deny-import",
  );
});
