// What `millrace flags` prints for what stands beside filters: upstream milters, the control socket, the spool.
// That serve needs all of the rest, and no more, is tried in tests/flags_test.ts.
import assert from "node:assert/strict";
import { readArgs } from "../args.ts";
import { testIo } from "../test_io.ts";
import { command } from "./flags.ts";

/** The flags for a configuration in a file of the folder, without those that are the same for all. */
async function flagsOf(folder: string, yaml: string): Promise<string[]> {
  const file = `${folder}/m.yaml`;
  const io = testIo({ files: { [file]: yaml } });
  assert.equal(await command.run(readArgs(command.spec, ["-c", file, "--json"]), io), 0);
  assert.equal(io.err(), "");
  const flags: string[] = JSON.parse(io.out());
  return flags.filter((flag) => /^--allow-(?:net|read|write)=/.test(flag));
}

Deno.test("flags: upstream milters by TCP and Unix socket, the control socket, the spool", async () => {
  const yaml = `listen: inet:8891@127.0.0.1
control: unix:/run/m/control.sock
spool: { folder: spool }
filters:
- upstream: inet:8892@192.0.2.7
- upstream: inet6:8893@[2001:db8::7]
- upstream: inet:11332@rspamd.example
- upstream: unix:/run/opendkim/opendkim.sock
`;
  assert.deepEqual(await flagsOf("/etc/millrace", yaml), [
    "--allow-net=127.0.0.1:8891,unix:/run/m/control.sock,unix:/run/m/.control.sock.new/s,192.0.2.7:8892," +
    "[2001:db8::7]:8893,rspamd.example:11332,unix:/run/opendkim/opendkim.sock",
    "--allow-read=/etc/millrace/m.yaml,/run/m,/etc/millrace/spool,/run/opendkim/opendkim.sock",
    "--allow-write=/run/m/control.sock,/run/m/.control.sock.new,/etc/millrace/spool,/run/opendkim/opendkim.sock",
  ]);
});

Deno.test("flags: without all that, none of it", async () => {
  assert.deepEqual(
    await flagsOf("/etc/millrace", "listen: inet:8891@127.0.0.1\nfilters: [{ upstream: inet:1@192.0.2.1 }]"),
    [
      "--allow-net=127.0.0.1:8891,192.0.2.1:1",
      "--allow-read=/etc/millrace/m.yaml",
    ],
  );
});

const TRANSPORT = new URL("../../transport/", import.meta.url);
const CHILD = `import { dial, listen } from "${TRANSPORT}deno.ts";
import { parseAddress } from "${TRANSPORT}address.ts";
const [folder, ...upstreams] = Deno.args;
for (const address of upstreams) (await dial(parseAddress(address))).close();
const control = await listen(parseAddress(\`unix:\${folder}/control.sock\`));
control.close();
const file = await Deno.makeTempFile({ dir: \`\${folder}/spool\` });
await Deno.writeTextFile(file, "body");
console.log(await Deno.readTextFile(file));
await Deno.remove(file);
`;

Deno.test("flags: they are enough to connect to upstream milters, to take orders and to spool", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_flags_" });
  const tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const unix = Deno.listen({ transport: "unix", path: `${folder}/up.sock` });
  const accepting = [tcp, unix].map(async (listener) => {
    for await (const connection of listener) connection.close();
  });
  try {
    await Deno.mkdir(`${folder}/spool`);
    const upstreams = [`inet:${tcp.addr.port}@127.0.0.1`, `unix:${folder}/up.sock`];
    const flags = await flagsOf(
      folder,
      `listen: inet:8891@127.0.0.1
control: unix:${folder}/control.sock
spool: { folder: ./spool }
filters:
${upstreams.map((address) => `- upstream: ${address}\n`).join("")}`,
    );
    const child = `${folder}/child.ts`;
    await Deno.writeTextFile(child, CHILD);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-config",
        "--no-check",
        "--quiet",
        "--no-prompt",
        ...flags,
        child,
        folder,
        ...upstreams,
      ],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    assert.deepEqual([decoder.decode(stdout), decoder.decode(stderr)], ["body\n", ""]);
  } finally {
    tcp.close();
    unix.close();
    await Promise.all(accepting);
    await Deno.remove(folder, { recursive: true });
  }
});
