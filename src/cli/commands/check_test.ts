import assert from "node:assert/strict";
import { DEFAULT_LIMITS } from "../../server/limits.ts";
import { parseConfig } from "../../config/parse.ts";
import { formatDuration, formatSize } from "../../text/units.ts";
import { readArgs } from "../args.ts";
import { type TestIo, testIo, type TestIoOptions } from "../test_io.ts";
import { command } from "./check.ts";

const DEPLOY = new URL("../../../deploy/", import.meta.url);

async function check(
  args: readonly string[],
  options?: TestIoOptions,
): Promise<{ code: number; io: TestIo }> {
  const io = testIo(options);
  return { code: await command.run(readArgs(command.spec, args), io), io };
}

async function withFolder(
  files: Record<string, string>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_check_" });
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const FILTER = `export default {
  macros: { mail: ["{auth_authen}"] },
  edits: ["addHeader"],
  needs: ["client"],
  rcpt() {},
  endOfMessage(context) { context.addHeader("X-A", "b"); },
};`;

Deno.test("check prints what a filter wants from the MTA", async () => {
  await withFolder({
    "f.ts": FILTER,
    "m.yaml":
      "listen: [inet:8891@127.0.0.1, unix:/run/m.sock]\nfilters: [{ use: ./f.ts, isolation: none, timeout: 90s }]\n",
  }, async (folder) => {
    const { code, io } = await check(["-c", `${folder}/m.yaml`]);
    assert.equal(code, 0);
    assert.equal(
      io.out(),
      `${folder}/m.yaml is fine.

listen inet:8891@127.0.0.1
  Postfix, main.cf       smtpd_milters = inet:127.0.0.1:8891
  Sendmail, sendmail.mc  INPUT_MAIL_FILTER(\`millrace', \`S=inet:8891@127.0.0.1, F=T')dnl

listen unix:/run/m.sock
  Postfix, main.cf       smtpd_milters = unix:/run/m.sock
  Sendmail, sendmail.mc  INPUT_MAIL_FILTER(\`millrace', \`S=unix:/run/m.sock, F=T')dnl

filter f (./f.ts)
  hooks              rcpt, endOfMessage
  MTA waits at       rcpt, data, endOfMessage
  MTA only sends     connect, mail
  not sent           helo, unknown, header, endOfHeaders, body
  may edit           addHeader
  macros             mail {auth_authen}
  one hook may take  90s
  if it fails        tempfail
  runs in            the program itself, with all its rights
`,
    );
    const json = JSON.parse((await check(["--json", "-c", `${folder}/m.yaml`])).io.out());
    assert.deepEqual(json.filters[0].answered, ["rcpt", "data", "endOfMessage"]);
    assert.deepEqual(json.filters[0].macros, { mail: ["{auth_authen}"] });
    assert.equal(json.listen[0].postfix, "smtpd_milters = inet:127.0.0.1:8891");
  });
});

Deno.test("check does not wait at DATA for a filter on Unix sockets only", async () => {
  await withFolder({
    "f.ts": FILTER,
    "m.yaml": "listen: unix:/run/m.sock\nfilters: [{ use: ./f.ts, isolation: none }]\n",
  }, async (folder) => {
    const { io } = await check(["--json", "-c", `${folder}/m.yaml`]);
    assert.deepEqual(JSON.parse(io.out()).filters[0].answered, ["rcpt", "endOfMessage"]);
  });
});

Deno.test("check shows several filters in their order", async () => {
  await withFolder({
    "f.ts": FILTER,
    "m.yaml":
      "listen: unix:/run/m.sock\nfilters:\n- use: ./f.ts\n  isolation: none\n- use: ./f.ts\n  isolation: none\n  name: second\n",
  }, async (folder) => {
    const io = testIo();
    assert.equal(await command.run(readArgs(command.spec, ["-c", `${folder}/m.yaml`]), io), 0);
    assert.match(io.out(), /filter f [^]*filter second /);
  });
});

const CHAIN = `listen: unix:/run/m.sock
filters:
- use: bundled:rules
  options: { rules: [{ add_header: { name: X-A, value: b } }] }
  when: { client: 192.0.2.0/24, not: { authenticated: true } }
  canary: 33.3%
- upstream: unix:/run/opendkim/opendkim.sock
- upstream: inet6:11332@[2001:db8::7]
  name: spam
  connect_timeout: 500ms
  timeout: 30s
  mode: shadow
  when: { size: { under: 1MiB } }
  on_failure: { unavailable: accept }
`;

Deno.test("check shows upstream milters between the filters, and which mails go through what", async () => {
  const shown = async (...args: readonly string[]): Promise<string> => {
    const io = testIo({ files: { "s.yaml": CHAIN } });
    assert.equal(await command.run(readArgs(command.spec, ["-c", "s.yaml", ...args]), io), 0);
    return io.out();
  };
  const text = await shown();
  assert.match(
    text,
    /^ {2}only mails with +client in 192\.0\.2\.0\/24 and not authenticated\n {2}share of them +33\.3%$/m,
  );
  assert.equal(
    text.slice(text.indexOf("upstream ")),
    `upstream opendkim.sock (unix:/run/opendkim/opendkim.sock)
  connects within     5s
  one reply may take  10s
  if it fails         tempfail

upstream spam (inet6:11332@[2001:db8::7])
  connects within     500ms
  one reply may take  30s
  if it fails         unavailable: accept, otherwise tempfail
  only mails with     size under 1MiB
  mode                shadow: what it would do is only logged
`,
  );
  const { filters } = JSON.parse(await shown("--json"));
  assert.deepEqual(filters.map(({ kind, name }: Record<string, string>) => [kind, name]), [
    ["filter", "rules"],
    ["upstream", "opendkim.sock"],
    ["upstream", "spam"],
  ]);
  assert.deepEqual(filters[2], {
    kind: "upstream",
    name: "spam",
    timeout: 30_000,
    onFailure: "unavailable: accept, otherwise tempfail",
    when: "size under 1MiB",
    mode: "shadow",
    canary: 1,
    upstream: "inet6:11332@[2001:db8::7]",
    connectTimeout: 500,
  });
});

Deno.test("check says when the configuration cannot be read", async () => {
  await assert.rejects(check(["-c", "/nowhere/m.yaml"]), {
    message: 'Cannot read the configuration "/nowhere/m.yaml": there is no such file',
    exitCode: 2,
  });
  await assert.rejects(check(["-c", "m.yaml"], { files: { "m.yaml": Uint8Array.of(0xff, 0xfe) } }), {
    message: 'Cannot read the configuration "m.yaml": it is not UTF-8 text',
  });
  await assert.rejects(
    check(["-c", "m.yaml"], { files: { "m.yaml": "lisen: x" } }),
    /m\.yaml:1:1: unknown key "lisen"/,
  );
});

Deno.test("the default configuration listens on loopback and runs a filter", async () => {
  const { code, io } = await check(["-c", new URL("millrace.yaml", DEPLOY).pathname]);
  assert.equal(code, 0);
  assert.match(io.out(), /^listen inet:8891@127\.0\.0\.1$/m);
  assert.match(io.out(), /^filter rules \(bundled:rules\)$/m);
});

/** The default configuration with one of its samples in use, in place of the filter that it runs. */
function* samples(text: string): Generator<string> {
  const uncommented = text.replace(/^( *)#(?=[^ #\n]| {2})/gm, "$1");
  const [head, filters] = uncommented.split(/^filters:\n/m);
  for (const filter of filters.split(/^(?= {2}- )/m)) {
    if (filter.startsWith("  - ")) yield `${head}filters:\n${filter}`;
  }
}

Deno.test("the samples in the default configuration are right", async () => {
  const text = await Deno.readTextFile(new URL("millrace.yaml", DEPLOY));
  const configs = [...samples(text)];
  assert.equal(configs.length, 7);
  const filters: string[] = [];
  for (const sample of configs) {
    const config = parseConfig(sample, { file: "sample" });
    assert.equal(config.listen.length, 2);
    assert.deepEqual(config.socket, { mode: 0o660, group: "postfix" });
    assert.equal(config.threads, 2);
    assert.deepEqual(config.control, { kind: "unix", path: "/run/millrace/control.sock" });
    assert.equal(config.spool.folder, "/var/spool/millrace");
    const [link] = config.filters;
    filters.push(link.name);
    if (link.kind === "filter" && link.use.kind === "bundled") {
      assert.equal((await check(["-c", "s.yaml"], { files: { "s.yaml": sample } })).code, 0, sample);
    }
  }
  assert.deepEqual(filters, ["rules", "rules", "footer", "my_filter", "greylist", "rspamd", "new_filter"]);
});

Deno.test("the default configuration gives the defaults as they are", async () => {
  const text = await Deno.readTextFile(new URL("millrace.yaml", DEPLOY));
  const { connections, drain, body } = DEFAULT_LIMITS;
  assert.ok(
    text.includes(
      `#limits: { connections: ${connections}, drain: ${formatDuration(drain)}, body: ${formatSize(body)} }`,
    ),
    "deploy/millrace.yaml shows other limits than src/server/limits.ts has",
  );
  const { memory, over } = parseConfig(text, { file: "default" }).spool;
  assert.ok(
    text.includes(`#spool: { memory: ${formatSize(memory)}, folder: /var/spool/millrace, over: ${over} }`),
    "deploy/millrace.yaml shows another spool than src/config/schema.ts has",
  );
});

Deno.test("check shows what is wished beside what is granted, and what a sandbox may not be given", async () => {
  const manifest =
    `export const manifest = { name: "scanner", version: "2.0.1", permissions: { net: ["clamd:3310"] },
    options: { "~standard": { version: 1, vendor: "own", validate: (value) =>
      value.clamd ? { value } : { issues: [{ message: "is missing", path: ["clamd"] }] } } } };
  export default { message() {} };`;
  const config = (more: string) => `listen: unix:/run/m.sock\nfilters:\n- use: ./f.ts\n${more}`;
  await withFolder({
    "f.ts": manifest,
    "wrong.yaml": config("  isolation: none\n"),
    "inline.yaml": config("  isolation: none\n  options: { clamd: here }\n"),
  }, async (folder) => {
    await assert.rejects(check(["-c", `${folder}/wrong.yaml`]), {
      message: `Cannot load filter "f" (${folder}/f.ts): options.clamd: is missing`,
      exitCode: 2,
    });
    const { io } = await check(["-c", `${folder}/inline.yaml`]);
    assert.match(io.out(), /^filter f \(\.\/f\.ts\): scanner 2\.0\.1$/m);
    assert.match(io.out(), /^ {2}runs in +the program itself, with all its rights$/m);
    assert.doesNotMatch(io.out(), /clamd:3310/);
  });
  const sandboxed = `listen: unix:/run/m.sock
filters:
- use: bundled:rules
  permissions: { env: [LANG], net: [127.0.0.1:25] }
  options: { rules: [{ add_header: { name: X-A, value: b } }] }
`;
  const { io } = await check(["--json", "-c", "s.yaml"], { files: { "s.yaml": sandboxed } });
  const [rules] = JSON.parse(io.out()).filters;
  assert.equal(rules.isolation, "sandbox");
  assert.deepEqual(rules.permissions.filter(({ granted }: { granted: boolean }) => granted), [
    { right: "net", value: "127.0.0.1:25", wished: false, granted: true },
    { right: "env", value: "LANG", wished: false, granted: true },
  ]);
});

Deno.test("check says in which way a filter does not start in its sandbox", async () => {
  const rules = "listen: unix:/run/m.sock\nfilters:\n- use: bundled:NAME\n  options: {}\n";
  await assert.rejects(check(["-c", "s.yaml"], { files: { "s.yaml": rules.replace("NAME", "nothing") } }), {
    message: 'Cannot load filter "nothing" (bundled:nothing): no such filter is bundled',
  });
  await assert.rejects(check(["-c", "s.yaml"], { files: { "s.yaml": rules.replace("NAME", "footer") } }), {
    message: /^Cannot load filter "footer" \(bundled:footer\): its function failed: .*text/,
  });
});
