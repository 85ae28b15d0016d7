import assert from "node:assert/strict";
import { memoryListener, memoryPair } from "../../transport/memory.ts";
import type { Connection } from "../../transport/types.ts";
import { askControl, type ControlAnswer, type ControlCommands, ControlServer } from "./control.ts";

const DONE: ControlAnswer = { done: true, text: "it is done" };

/** A server in memory with a command that does nothing, unless told otherwise. */
async function controlled(
  use: (connect: () => Connection, server: ControlServer) => Promise<void>,
  commands: ControlCommands = { reload: () => Promise.resolve(DONE) },
  patience?: number,
): Promise<void> {
  const listener = memoryListener();
  const server = new ControlServer(listener, commands, patience);
  try {
    await use(() => listener.connect(), server);
  } finally {
    await server.close();
  }
}

/** Everything that the server says to these bytes, up to its end of the connection. */
async function said(connection: Connection, ...pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const writer = connection.writable.getWriter();
  for (const piece of pieces) {
    // It may have ended the connection already.
    await writer.write(typeof piece === "string" ? new TextEncoder().encode(piece) : piece).catch(() => {});
  }
  let text = "";
  for await (const part of connection.readable.pipeThrough(new TextDecoderStream() as never)) text += part;
  return text;
}

Deno.test("a command gets one line as its answer, however its bytes come", async () => {
  await controlled(async (connect) => {
    assert.deepEqual(await askControl(connect(), "reload"), DONE);
    const line = `${JSON.stringify(DONE)}\n`;
    assert.equal(await said(connect(), "reload\r\n"), line);
    assert.equal(await said(connect(), ..."reload\n"), line);
    assert.equal(await said(connect(), "reload\nreload\n"), line);
  });
});

Deno.test("what is no command is answered with those that are", async () => {
  await controlled(async (connect) => {
    for (const word of ["relaod", "", "reload now", "constructor", "__proto__", "\x1b[2J"]) {
      const answer = await askControl(connect(), word);
      assert.equal(answer?.done, false);
      assert.match(answer.text, /^"[ -~]*" is no command; known: reload$/);
    }
  });
});

Deno.test("a hostile peer is ended: garbage, a flood without a line end, silence, a line cut off", async () => {
  let runs = 0;
  const commands = {
    reload: () => {
      runs++;
      return Promise.resolve(DONE);
    },
  };
  await controlled(
    async (connect) => {
      const garbage = Uint8Array.from({ length: 5000 }, (_, index) => index % 251 === 10 ? 11 : index % 251);
      assert.equal(await said(connect(), garbage), "");
      assert.equal(await said(connect(), new Uint8Array(1024 * 1024).fill(0x61)), "");
      assert.equal(await said(connect(), `${"a".repeat(100)}\nreload\n`), "");
      assert.equal(await said(connect()), "");
      assert.equal(await said(connect(), "reloa"), "");
      const gone = connect();
      await gone.writable.getWriter().write(new TextEncoder().encode("rel"));
      gone.close();
      assert.equal(runs, 0);
      assert.deepEqual(await askControl(connect(), "reload"), DONE);
    },
    commands,
    50,
  );
});

Deno.test("a peer that goes away, or does not read, takes nothing down", async () => {
  const work = Promise.withResolvers<ControlAnswer>();
  let runs = 0;
  const commands = {
    wait: () => {
      runs++;
      return work.promise;
    },
    long: () => Promise.resolve({ done: true, text: "\u0001".repeat(1_000_000) }),
  };
  await controlled(
    async (connect) => {
      const gone = connect();
      await gone.writable.getWriter().write(new TextEncoder().encode("wait\n"));
      while (runs === 0) await new Promise((resolve) => setTimeout(resolve));
      gone.close();
      work.resolve(DONE);
      // Its answer does not fit into what the connection holds, and nobody reads.
      const deaf = connect();
      await deaf.writable.getWriter().write(new TextEncoder().encode("long\n"));
      assert.deepEqual(await askControl(connect(), "wait"), DONE);
      // One that is too long is cut, so that the other side takes it.
      const { text } = (await askControl(connect(), "long"))!;
      assert.equal(text.length, 10_000);
    },
    commands,
    50,
  );
});

Deno.test("of many peers at once eight are served, and others again when one has gone", async () => {
  const work = Promise.withResolvers<ControlAnswer>();
  let runs = 0;
  const commands = {
    reload: () => {
      runs++;
      return work.promise;
    },
  };
  await controlled(async (connect) => {
    const asking = Array.from({ length: 8 }, () => askControl(connect(), "reload"));
    while (runs < 8) await new Promise((resolve) => setTimeout(resolve));
    const more = await Promise.all(
      Array.from({ length: 50 }, () => askControl(connect(), "reload").catch(() => undefined)),
    );
    assert.deepEqual(new Set(more), new Set([undefined]));
    work.resolve(DONE);
    for (const answer of await Promise.all(asking)) assert.deepEqual(answer, DONE);
    assert.deepEqual(await askControl(connect(), "reload"), DONE);
    assert.equal(runs, 9);
  }, commands);
});

Deno.test("closed, it answers the command under way, ends silent peers at once, and takes no more", async () => {
  const work = Promise.withResolvers<ControlAnswer>();
  const begun = Promise.withResolvers<void>();
  const commands = {
    reload: () => {
      begun.resolve();
      return work.promise;
    },
  };
  await controlled(
    async (connect, server) => {
      const silent = said(connect());
      const asking = askControl(connect(), "reload");
      await begun.promise;
      const closed = server.close();
      assert.equal(await silent, "");
      assert.throws(connect, { kind: "refused" });
      work.resolve(DONE);
      assert.deepEqual(await asking, DONE);
      await closed;
    },
    commands,
    3_600_000,
  );
});

Deno.test("askControl() believes no answer of another form, and none without end", async () => {
  const answered = async (...pieces: readonly string[]) => {
    const [client, program] = memoryPair();
    const asking = askControl(client, "reload");
    void said(program, ...pieces);
    if (!pieces.at(-1)?.endsWith("\n")) program.close();
    return await asking.catch(() => undefined);
  };
  assert.deepEqual(await answered('{"done":false,', '"text":"a\\nb"}\n'), { done: false, text: "a\nb" });
  for (
    const text of ["[]\n", "null\n", "{}\n", '{"done":1,"text":"x"}\n', "done\n", '{"done":true,"text":"x"}']
  ) {
    assert.equal(await answered(text), undefined, text);
  }
  assert.equal(await answered(...Array.from({ length: 20 }, () => "x".repeat(10_000)), "\n"), undefined);
});
