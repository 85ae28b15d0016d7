// Hooks that the MTA does not wait for, behind a served connection.
import assert from "node:assert/strict";
import { serving } from "../../tests/helpers/serving.ts";
import { utf8 } from "../../tests/property/wire.ts";
import { accept, type Filter, reject } from "../filter/mod.ts";
import { MtaClient } from "../testing/mta_client.ts";

Deno.test("a hook that the MTA does not wait for may not answer; where it fails, the next answer is the policy's", async () => {
  for (const dialect of ["postfix", "sendmail"] as const) {
    for (const hook of ["mail", "rcpt", "data", "header", "endOfHeaders", "body"] as const) {
      for (const act of [() => reject(), () => Promise.resolve(accept()), () => Promise.reject("broken")]) {
        const server = serving({ noReply: [hook], [hook]: act, endOfMessage: () => accept() });
        const client = await MtaClient.connect(server.connect(), { dialect });
        const { verdict } = await client.sendMail();
        const failure = server.failures.map(({ kind, hook }) => `${kind} ${hook}`).join();
        assert.equal(verdict, "tempfail", `${dialect} ${hook}`);
        assert.match(failure, new RegExp(`^(?:bad-verdict|error) ${hook}$`));
        await client.quit();
        await server.stop();
      }
    }
  }
});

Deno.test("a hook in noReply is told to the MTA as such, and to one that waits all the same it goes on", async () => {
  const seen: string[] = [];
  const filter: Filter = {
    noReply: ["header", "body"],
    header: (field) => void seen.push(field.name),
    body: (chunk) => void seen.push(String(chunk.length)),
    endOfMessage: () => accept(),
  };
  for (const version of [6, 2]) {
    const server = serving(filter);
    const answers: string[] = [];
    const client = await MtaClient.connect(server.connect(), {
      version,
      onFrame: ({ name, from }) => void (from === "filter" && answers.push(name)),
    });
    assert.equal((await client.sendMail()).verdict, "continue");
    assert.deepEqual(seen.splice(0), ["Subject", "7"]);
    assert.equal(
      answers.filter((name) => name === "SMFIR_CONTINUE").length,
      version === 6 ? 1 : 4,
      answers.join(),
    );
    await client.quit();
    await server.stop();
  }
});

Deno.test("of an MTA that runs ahead of a hook no more is read than a buffer holds, and nothing is lost", async () => {
  const work = Promise.withResolvers<void>();
  let seen = 0;
  const filter: Filter = {
    noReply: ["body"],
    async body(chunk) {
      await work.promise;
      seen += chunk.length;
    },
    endOfMessage: () => accept(),
  };
  const server = serving(filter, { timeout: 1e6 });
  const client = await MtaClient.connect(server.connect());
  await client.command({ kind: "mail", address: utf8("<a@b>"), args: [] });
  const chunk = new Uint8Array(1000);
  const held = Symbol("the connection takes no more for now");
  let sent = 0;
  /** Sends one chunk more; false when the connection did not take it within 300 ms, and only did once the hook had ended. */
  async function sendChunk(): Promise<boolean> {
    const sending = client.command({ kind: "body", chunk });
    sent += chunk.length;
    const first = await Promise.race([sending, new Promise((resolve) => setTimeout(resolve, 300, held))]);
    if (first !== held) return true;
    work.resolve();
    await sending;
    return false;
  }
  while (await sendChunk()) assert.ok(sent < 200_000, "it is read without an end");
  const { answer } = await client.command({ kind: "endOfMessage", chunk });
  assert.equal(answer?.verdict, "continue");
  assert.equal(seen, sent + chunk.length);
  await client.quit();
  await server.stop();
});
