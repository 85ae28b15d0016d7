// Reloads that meet each other, the start and the stop.
import assert from "node:assert/strict";
import { logged } from "../test_serve.ts";
import { config, mark, markOfNew, pin, release, reloading } from "./test_reloading.ts";

Deno.test("SIGHUPs that come while one is under way are one more, which reads the file after it", async () => {
  await reloading(async (running) => {
    const { io, write, outcomes } = running;
    await running.address();
    await write(config("slow"));
    io.send("SIGHUP");
    io.send("SIGHUP");
    await io.errHas("it waits");
    await write(config("three"));
    io.send("SIGHUP");
    io.send("SIGHUP");
    // The old configuration serves all the while.
    assert.equal(await markOfNew(running), "one");
    release();
    const all = await outcomes(2);
    assert.deepEqual(all.map(({ level }) => level), ["info", "info"]);
    assert.equal(await markOfNew(running), "three");
    await running.reload();
    assert.equal(logged(io, /^Reload/).length, 3);
  });
});

Deno.test("a SIGHUP during the start is heeded after it", async () => {
  await reloading(async (running) => {
    const { io, write, outcomes } = running;
    await io.errHas("it waits");
    io.send("SIGHUP");
    await write(config("two"));
    release();
    assert.equal((await outcomes(1))[0].level, "info");
    assert.equal(await markOfNew(running), "two");
  }, config("slow"));
});

Deno.test("while it drains a reload is refused, and open mails finish", async () => {
  await reloading(async ({ io, connect, reload, ended }) => {
    const client = await connect();
    const sending = mark(client, "X-Wait: yes\n\nx\n");
    await io.errHas("it works");
    io.send("SIGTERM");
    assert.equal((await reload()).reason, "the program is stopping");
    release();
    assert.equal(await sending, "one");
    assert.equal(await ended, 0);
    client.close();
  });
});

Deno.test("told to stop, it gives up a reload or a start that is under way", async () => {
  await reloading(async ({ io, write, outcomes, ended, address }) => {
    await address();
    await write(config("slow"));
    io.send("SIGHUP");
    await io.errHas("it waits");
    io.send("SIGTERM");
    assert.equal(await ended, 0);
    await io.errHas("it is told to give up");
    assert.equal((await outcomes(1))[0].reason, "the program is stopping");
  });
  await reloading(async ({ io, ended }) => {
    await io.errHas("it waits");
    io.send("SIGHUP");
    io.send("SIGTERM");
    assert.equal(await ended, 0);
    assert.equal(logged(io, /^Reload/)[0].reason, "the program is stopping");
    assert.equal(logged(io, /Listening/).length, 0);
  }, config("slow"));
});

Deno.test("told to stop, it does not wait for a sandbox that is starting", async () => {
  await reloading(async ({ io, folder, write, outcomes, ended, address }) => {
    await address();
    await Deno.writeTextFile(
      `${folder}/s.ts`,
      "export default () => new Promise(() => {});",
    );
    await write("listen: inet:0@127.0.0.1\nfilters: [{ use: ./s.ts, start_timeout: 10m }]\n");
    await pin(`${folder}/m.yaml`);
    io.send("SIGHUP");
    // Long enough for the thread to be there, on a machine that is not too busy; at any other moment it must end as well.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    io.send("SIGTERM");
    assert.equal(await ended, 0);
    assert.equal((await outcomes(1))[0].reason, "the program is stopping");
  });
});
