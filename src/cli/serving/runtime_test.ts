// SIGHUP: from one configuration to the next, in the test's own process, over real sockets.
import assert from "node:assert/strict";
import type { MtaClient } from "../../testing/mta_client.ts";
import { parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { command as serve } from "../commands/serve.ts";
import { readArgs } from "../args.ts";
import { testIo } from "../test_io.ts";
import { logged } from "../test_serve.ts";
import { config, FILTER, mark, markOfNew, pin, reloading } from "./test_reloading.ts";

Deno.test("SIGHUP: new connections get the new configuration, open ones keep the old; the log says what changed", async () => {
  await reloading(async (running) => {
    const { io, connect, change } = running;
    const old = await connect();
    assert.equal(await mark(old), "one");
    const outcome = await change(config("two", { more: "limits: { idle: 1h }" }));
    assert.match(String(outcome.message), /^Reloaded \S+\/m\.yaml in \d+ ms$/);
    assert.equal(outcome.level, "info");
    assert.deepEqual(outcome.changes, ["filter f changed (same code: isolation none)", "limits changed"]);
    assert.equal(outcome.connections, 1);
    assert.equal(typeof outcome.ms, "number");
    assert.equal(await markOfNew(running), "two");
    for (let mails = 0; mails < 3; mails++) assert.equal(await mark(old), "one");
    assert.equal(logged(io, /earlier configuration are gone/).length, 0);
    await old.quit();
    await io.errHas("The filters of an earlier configuration are gone: f");
    assert.equal(await markOfNew(running), "two");
    assert.deepEqual((await change(config("two", { more: "limits: { idle: 1h }" }))).changes, [
      "filter f restarted (same code: isolation none)",
    ]);
  });
});

Deno.test("SIGHUP with a configuration that cannot be used changes nothing, and the log says why", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const rows: readonly (readonly [string, RegExp])[] = [
    ["listen: [", /m\.yaml:\d+:\d+: the text is not well-formed YAML/],
    [config("two", { more: "limts: {}" }), /m\.yaml:3:1: unknown key "limts"; did you mean limits\?/],
    [
      config("broken"),
      /^Cannot load filter "f" \(\S+\/f\.ts\): its function failed: this filter does not start$/,
    ],
    [config("two").replace("f.ts", "g.ts"), /^Cannot load filter "f|g" .*there is no such file/],
    [
      config("two", { listen: `[inet:0@127.0.0.1, unix:FOLDER/m.sock, inet:${taken.addr.port}@127.0.0.1]` }),
      /^Cannot listen on inet:\d+@127\.0\.0\.1: another program, .* already listens on port/,
    ],
    [
      config("two", { more: "control: unix:FOLDER/nowhere/c.sock" }),
      /^Cannot listen on unix:\S+\/nowhere\/c\.sock: the directory \S+ does not exist/,
    ],
  ];
  await reloading(async (running) => {
    const { io, folder, connect, change } = running;
    const old = await connect();
    for (const [text, reason] of rows) {
      const outcome = await change(text);
      assert.equal(outcome.message, "Reload refused, everything goes on as before");
      assert.equal(outcome.level, "error");
      assert.match(String(outcome.reason), reason);
      assert.equal(await mark(old), "one");
      assert.equal(await markOfNew(running), "one");
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["f.ts", "m.yaml"]);
    }
    await Deno.remove(`${folder}/m.yaml`);
    assert.match(String((await running.reload()).reason), /Cannot read the configuration .*no such file/);
    assert.equal(logged(io, /Listening/).length, 1);
    assert.equal((await change(config("three"))).level, "info");
    assert.equal(await markOfNew(running), "three");
    await old.quit();
  });
  taken.close();
});

Deno.test("several mistakes of a configuration stand in the log one by one", async () => {
  await reloading(async ({ change }) => {
    const { reason } = await change("listen: nowhere\nfilters: []\n");
    assert.ok(Array.isArray(reason) && reason.length === 2, String(reason));
    assert.match(reason[0], /m\.yaml:1:9: listen: /);
    assert.match(reason[1], /m\.yaml:2:10: filters: /);
  });
});

Deno.test("SIGHUP changes where it listens: what stays is untouched, what goes lets its connections finish", async () => {
  const kept = "unix:FOLDER/kept.sock", added = "unix:FOLDER/added.sock";
  await reloading(async (running) => {
    const { io, folder, connect, change, address } = running;
    const path = (name: string) => `unix:${folder}/${name}.sock`;
    const gone = await address();
    await io.errHas(`S=${path("kept")}`);
    const { ino } = await Deno.stat(`${folder}/kept.sock`);
    const old = await connect(gone);
    const outcome = await change(config("two", { listen: `[${kept}, ${added}]` }));
    assert.deepEqual(outcome.changes, [
      "filter f changed (same code: isolation none)",
      `listening on ${path("added")}`,
      "no longer listening on inet:0@127.0.0.1",
    ]);
    await io.errHas(`Postfix, main.cf: smtpd_milters = ${path("added")}`);
    assert.equal((await Deno.stat(`${folder}/kept.sock`)).ino, ino);
    assert.equal(await markOfNew(running, path("kept")), "two");
    assert.equal(await markOfNew(running, path("added")), "two");
    await assert.rejects(dial(parseAddress(gone)), { kind: "refused" });
    for (let mails = 0; mails < 3; mails++) assert.equal(await mark(old), "one");
    await old.quit();
    await change(config("three", { listen: kept }));
    await assert.rejects(Deno.stat(`${folder}/added.sock`), Deno.errors.NotFound);
    assert.equal(await markOfNew(running, path("kept")), "three");
  }, config("one", { listen: `[inet:0@127.0.0.1, ${kept}]` }));
});

Deno.test("what cannot change without a restart is refused by name", async () => {
  const listen = "[inet:0@127.0.0.1, unix:FOLDER/m.sock]";
  await reloading(async (running) => {
    const { io, folder, change, address } = running;
    const { port } = parseAddress(await address()) as { readonly port: number };
    await io.errHas(`S=unix:${folder}/m.sock`);
    for (const [key, value] of [["mode", "0600"], ["group", "0"]]) {
      const { reason } = await change(config("two", { listen, more: `socket: { ${key}: ${value} }` }));
      assert.equal(
        reason,
        `Cannot change socket.${key} while unix:${folder}/m.sock stays open: restart the program, or give the socket ` +
          "another path as well",
      );
    }
    const all = await change(config("two", { listen: `inet:${port}` }));
    assert.equal(
      all.reason,
      `Cannot listen on inet:${port}@0.0.0.0 beside inet:${port}@127.0.0.1, which this program has open: both are the ` +
        "same port; restart it to go from one to the other",
    );
    // For a socket that is made anew it is no matter.
    const other = { listen: "[inet:0@127.0.0.1, unix:FOLDER/n.sock]", more: "socket: { mode: 0600 }" };
    const outcome = await change(config("two", other));
    assert.equal(outcome.level, "info", String(outcome.reason));
    assert.equal((await Deno.stat(`${folder}/n.sock`)).mode! & 0o777, 0o600);
    await Deno.writeTextFile(`${folder}/f.ts`, `${FILTER}// changed`);
    assert.match(
      String((await change(config("three", other))).reason),
      /^Cannot load filter "f" \(\S+\/f\.ts\) anew: its file has changed, and without a sandbox code stays what it was/,
    );
    assert.equal(await markOfNew(running), "two");
    await Deno.writeTextFile(`${folder}/f.ts`, FILTER);
    assert.equal((await change(config("three", other))).level, "info");
    assert.equal(await markOfNew(running), "three");
  }, config("one", { listen }));
});

Deno.test("a configuration from standard input cannot be read anew, and the log says so", async () => {
  const io = testIo({
    files: {
      "-":
        "listen: inet:0@127.0.0.1\nfilters: [{ use: bundled:rules, isolation: none, options: { rules: [{ discard: true }] } }]\n",
    },
  });
  const ended = serve.run(readArgs(serve.spec, ["-c", "-"]), io);
  await io.errHas("Sendmail");
  io.send("SIGHUP");
  await io.errHas("Reload refused");
  assert.match(String(logged(io, /^Reload/)[0].reason), /standard input, which cannot be read again/);
  io.send("SIGTERM");
  assert.equal(await ended, 0);
});

Deno.test("the log goes on with the level and the format of the new configuration", async () => {
  await reloading(async (running) => {
    const { io, change, write } = running;
    await markOfNew(running);
    await io.errHas("ended (quit)");
    await change(config("two").replace("debug", "info"));
    const { length } = io.err();
    await markOfNew(running);
    assert.deepEqual(
      logged({ ...io, err: () => io.err().slice(length) }, /.*/).map(({ message }) => message),
      [
        "mail",
      ],
    );
    await write(config("three").replace("debug", "info, format: text"));
    io.send("SIGHUP");
    await io.errHas(" info Reloaded ");
    assert.match(
      io.err().slice(length),
      / info Reloaded \S+ in \d+ ms ms=\d+ changes=\["filter f changed \(same code: isolation none\)","log changed"\] connections=0\n/,
    );
  });
});

Deno.test("limits of the new configuration hold for new connections", async () => {
  await reloading(async ({ io, connect, change }) => {
    const old = await connect();
    await change(config("two", { more: "limits: { connections: 1 }" }));
    await assert.rejects(connect(), { kind: "closed" });
    await io.errHas("the limit is 1 (limits.connections)");
    assert.equal(await mark(old), "one");
    await old.quit();
    await io.errHas("Accepting connections again");
  });
});

Deno.test("not more than 16 earlier configurations are kept for open connections", async () => {
  await reloading(async (running) => {
    const { io, connect, change } = running;
    const clients: MtaClient[] = [];
    for (let n = 0; n < 16; n++) {
      clients.push(await connect());
      assert.equal((await change(config(`v${n}`))).connections, 1);
    }
    const refused = await change(config("late"));
    assert.match(String(refused.reason), /^16 earlier configurations still have open connections/);
    assert.equal(await mark(clients[0]), "one");
    assert.equal(await markOfNew(running), "v15");
    await clients[3].quit();
    await io.errHas("earlier configuration are gone");
    assert.equal((await change(config("late"))).level, "info");
    for (const [n, client] of clients.entries()) {
      if (n === 3) continue;
      assert.equal(await mark(client), n === 0 ? "one" : `v${n - 1}`);
      await client.quit();
    }
  });
});

Deno.test("sandboxes: a reload runs what is pinned by then, and one that does not start is refused", async () => {
  const filter = (mark: string) =>
    `export default ({ options }) => {
    if (options.broken) throw new Error("this one does not start");
    return { message(_mail, { addHeader }) { addHeader("X-Mark", "${mark}"); } };
  };`;
  const text = (options = "") =>
    "listen: inet:0@127.0.0.1\nlog: { level: debug }\n" +
    `filters: [{ use: ./s.ts, start_timeout: 10m, options: { ${options} } }]\n`;
  await reloading(async (running) => {
    const { folder, change, connect, reload } = running;
    const old = await connect();
    await Deno.writeTextFile(`${folder}/s.ts`, filter("first"));
    assert.match(String((await change(text())).reason), /there is no lock file/);
    await pin(`${folder}/m.yaml`);
    assert.deepEqual((await reload()).changes, ["filter s added", "filter f removed"]);
    const middle = await connect();
    await Deno.writeTextFile(`${folder}/s.ts`, filter("second"));
    assert.equal((await reload()).level, "info");
    assert.equal(await markOfNew(running), "first", "not pinned");
    await pin(`${folder}/m.yaml`);
    assert.equal((await reload()).level, "info");
    assert.equal(await markOfNew(running), "second");
    const refused = await change(text("broken: true"));
    assert.match(
      String(refused.reason),
      /^Cannot load filter "s" \(\S+\/s\.ts\): .*this one does not start$/,
    );
    assert.equal(await markOfNew(running), "second");
    assert.deepEqual([await mark(old), await mark(middle)], ["one", "first"]);
    await old.quit();
    await middle.quit();
  });
});
