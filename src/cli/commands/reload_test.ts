import assert from "node:assert/strict";
import { parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { main } from "../main.ts";
import { askControl } from "../serving/control.ts";
import { config, mark, markOfNew, release, reloading } from "../serving/test_reloading.ts";
import { testIo } from "../test_io.ts";
import { logged } from "../test_serve.ts";

/** The lines that name a control socket. */
const control = (name = "c", more = "") => ({ more: `control: unix:FOLDER/${name}.sock\n${more}` });

/** Runs `millrace reload`. */
async function millraceReload(file: string) {
  const io = testIo();
  const code = await main(["reload", "-c", file], io);
  return { code, out: io.out(), err: io.err() };
}

Deno.test("reload has a running program read its configuration anew: 0, and the outcome in words", async () => {
  await reloading(async (running) => {
    const { io, folder, connect, write } = running;
    const old = await connect();
    await write(config("two", control("c", "limits: { idle: 1h }")));
    const { code, out, err } = await millraceReload(`${folder}/m.yaml`);
    assert.deepEqual([code, err], [0, ""]);
    const [, ms] =
      /^Reloaded \S+\/m\.yaml in (\d+) ms: filter f changed \(same code: isolation none\), limits changed; 1 open connection keeps what was before\n$/
        .exec(out) ?? [];
    const [line] = logged(io, /^Reload/);
    assert.deepEqual([line.ms, line.changes, line.connections], [Number(ms), [
      "filter f changed (same code: isolation none)",
      "limits changed",
    ], 1]);
    assert.deepEqual([await mark(old), await markOfNew(running)], ["one", "two"]);
    await old.quit();
    assert.match(
      (await millraceReload(`${folder}/m.yaml`)).out,
      /ms: filter f restarted \(same code: isolation none\)\n$/,
    );
  }, config("one", control()));
});

Deno.test("reload tells why the program refused: 1, the same words as in the log", async () => {
  await reloading(async (running) => {
    const { io, folder, write, address } = running;
    await address();
    await write(config("broken", control()));
    const { code, out, err } = await millraceReload(`${folder}/m.yaml`);
    assert.deepEqual([code, out], [1, ""]);
    const [{ reason }] = logged(io, /^Reload refused/);
    assert.equal(err, `error: Reload refused, everything goes on as before: ${reason}\n`);
    assert.equal(await markOfNew(running), "one");
  }, config("one", control()));
});

Deno.test("reload without a program that answers: 1, the socket and the remedy by name", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_reload_" });
  try {
    const file = `${folder}/m.yaml`;
    await Deno.writeTextFile(file, config("one", control()).replaceAll("FOLDER", folder));
    const expected = new RegExp(
      `^error: Cannot connect to unix:${folder}/c\\.sock: .*; is the program running, and did it start with this ` +
        "control: in its configuration\\? If not, send it SIGHUP\n$",
    );
    const missing = await millraceReload(file);
    assert.equal(missing.code, 1);
    assert.match(missing.err, expected);
    // As a program leaves it that was killed.
    const listener = Deno.listen({ transport: "unix", path: `${folder}/k` });
    await Deno.rename(`${folder}/k`, `${folder}/c.sock`);
    const accepted = listener.accept();
    const answer = millraceReload(file);
    (await accepted).close();
    const ended = await answer;
    assert.equal(ended.code, 1);
    assert.match(
      ended.err,
      /^error: The program at unix:\S+\/c\.sock ended the connection without an answer: /,
    );
    listener.close();
    const left = await millraceReload(file);
    assert.equal(left.code, 1);
    assert.match(left.err, expected);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("reload with a configuration that names no control socket, or is none: 2", async () => {
  const folder = await Deno.makeTempDir({ prefix: "millrace_reload_" });
  try {
    const file = `${folder}/m.yaml`;
    await Deno.writeTextFile(file, config("one"));
    const none = await millraceReload(file);
    assert.deepEqual([none.code, none.out], [2, ""]);
    assert.equal(
      none.err,
      `error: Cannot reload: ${file} names no control socket; add for example ` +
        "control: unix:/run/millrace/control.sock and restart the program, or send it SIGHUP, which does the same\n",
    );
    await Deno.writeTextFile(file, config("one", { more: "control: inet:8892@127.0.0.1" }));
    const wrong = await millraceReload(file);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /m\.yaml:3:10: control: .* is no Unix socket: /);
    assert.equal((await millraceReload(`${folder}/none.yaml`)).code, 2);
    const usage = testIo();
    assert.equal(await main(["reload"], usage), 2);
    assert.match(usage.err(), /--config FILE is missing/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the control socket is there for its owner alone, and gone with the program", async () => {
  await reloading(async ({ io, folder, address, ended }) => {
    await address();
    const { mode, isSocket } = await Deno.stat(`${folder}/c.sock`);
    assert.deepEqual([mode! & 0o777, isSocket], [0o600, true]);
    // One that says nothing does not hold up the end.
    const silent = await dial(parseAddress(`unix:${folder}/c.sock`));
    io.send("SIGTERM");
    assert.equal(await ended, 0);
    silent.close();
    await assert.rejects(Deno.stat(`${folder}/c.sock`), Deno.errors.NotFound);
  }, config("one", control("c", "socket: { mode: 0666 }")));
});

Deno.test("the control socket comes, moves and goes with a reload; whoever asked gets the answer", async () => {
  await reloading(async (running) => {
    const { folder, write, reload } = running;
    const files = () =>
      [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith("k")).sort();
    const ask = async (name: string) => {
      const connection = await dial(parseAddress(`unix:${folder}/${name}.sock`));
      const answer = await askControl(connection, "reload");
      connection.close();
      return answer?.text.replace(/^.*ms: /, "");
    };
    await running.address();
    assert.deepEqual(files(), []);
    await write(config("two", control("a")));
    assert.deepEqual((await reload()).changes, [
      "filter f changed (same code: isolation none)",
      `control socket unix:${folder}/a.sock`,
    ]);
    assert.deepEqual(files(), ["a.sock"]);
    const { ino } = await Deno.stat(`${folder}/a.sock`);
    assert.equal(await ask("a"), "filter f restarted (same code: isolation none)");
    assert.equal((await Deno.stat(`${folder}/a.sock`)).ino, ino, "one that stays is not touched");
    await write(config("two", control("b")));
    assert.equal(
      await ask("a"),
      `filter f restarted (same code: isolation none), control socket unix:${folder}/b.sock`,
    );
    assert.deepEqual(files(), ["b.sock"]);
    await write(config("two"));
    assert.equal(
      await ask("b"),
      "filter f restarted (same code: isolation none), no control socket any more",
    );
    assert.deepEqual(files(), []);
    // Refused, it stays where it was.
    await write(config("two", control("a")));
    assert.equal((await reload()).level, "info");
    await write(config("broken", control("b")));
    assert.match((await ask("a"))!, /^Reload refused.*does not start$/);
    assert.deepEqual(files(), ["a.sock"]);
  });
});

Deno.test("reloads that are asked for while one is under way wait, and share the next", async () => {
  await reloading(async (running) => {
    const { io, folder, write, address } = running;
    await address();
    await write(config("slow", control()));
    const first = millraceReload(`${folder}/m.yaml`);
    await io.errHas("it waits");
    await write(config("three", control()));
    const connect = () => dial(parseAddress(`unix:${folder}/c.sock`));
    const connections = [await connect(), await connect()];
    const others = connections.map((connection) => askControl(connection, "reload"));
    // What is asked later has been answered: so the program has read what was asked before.
    for (let n = 0; n < 3; n++) {
      const ping = await connect();
      assert.equal((await askControl(ping, "ping"))?.done, false);
      ping.close();
    }
    release();
    assert.equal((await first).code, 0);
    const [one, other] = await Promise.all(others);
    assert.equal(one?.done, true);
    assert.deepEqual(one, other);
    for (const connection of connections) connection.close();
    assert.equal(logged(io, /^Reload/).length, 2);
    assert.equal(await markOfNew(running), "three");
  }, config("one", control()));
});

Deno.test("reload while the program drains is refused, and said", async () => {
  await reloading(async ({ io, folder, connect, ended }) => {
    const client = await connect();
    const sending = mark(client, "X-Wait: yes\n\nx\n");
    await io.errHas("it works");
    io.send("SIGTERM");
    const { code, err } = await millraceReload(`${folder}/m.yaml`);
    assert.deepEqual([code, err], [
      1,
      "error: Reload refused, everything goes on as before: the program is stopping\n",
    ]);
    release();
    assert.equal(await sending, "one");
    assert.equal(await ended, 0);
    client.close();
  }, config("one", control()));
});

Deno.test("hostile peers at the real control socket: mail and reloads go on", async () => {
  await reloading(async (running) => {
    const { folder, address } = running;
    await address();
    const socket = parseAddress(`unix:${folder}/c.sock`);
    const peers = await Promise.all(Array.from({ length: 40 }, () => dial(socket)));
    const garbage = crypto.getRandomValues(new Uint8Array(4096)).map((byte) => byte === 10 ? 11 : byte);
    const flood = new Uint8Array(1024 * 1024).fill(0x61);
    const sent = peers.map(async (peer, index) => {
      const writer = peer.writable.getWriter();
      await writer.write(index % 2 === 0 ? garbage : flood).catch(() => {});
    });
    assert.equal(await markOfNew(running), "one");
    await Promise.all(sent);
    // All have been ended: those over the number at once, the others for what they sent.
    for (const peer of peers) {
      for await (const _ of peer.readable) assert.fail("it was answered");
      peer.close();
    }
    assert.equal((await millraceReload(`${folder}/m.yaml`)).code, 0);
  }, config("one", control()));
});
