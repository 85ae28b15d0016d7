// Slow, failing and hanging hooks behind a served connection. The server's clock is the test's.
import assert from "node:assert/strict";
import { serving } from "../../tests/helpers/serving.ts";
import { utf8 } from "../../tests/property/wire.ts";
import { accept, type Filter } from "../filter/mod.ts";
import { type FailureKind, type FailurePolicy, type Outcome, uniformPolicy } from "../session/policy.ts";
import { MtaClient } from "../testing/mta_client.ts";
import { lettersOf } from "../testing/trace.ts";
import { PROGRESS_INTERVAL } from "./connection.ts";

const OUTCOMES: readonly Outcome[] = ["tempfail", "accept", "reject"];
const STAGES = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "header",
  "endOfHeaders",
  "body",
  "endOfMessage",
] as const;
type Stage = typeof STAGES[number];

/** A filter with one hook that does as told for the first mail, and goes on for later ones. */
function failing(stage: Stage, act: () => unknown): Filter {
  let calls = 0;
  return { mail() {}, [stage]: () => calls++ === 0 ? act() : undefined } as Filter;
}

/** Moves the server's clock until the promise settles. */
async function passTime<T>(server: ReturnType<typeof serving>, step: number, until: Promise<T>): Promise<T> {
  let done = false;
  until.then(() => done = true, () => done = true);
  while (!done) {
    server.advance(step);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return await until;
}

/** The policy with one outcome for one kind, and another for the rest. */
function policy(kind: FailureKind, outcome: Outcome): FailurePolicy {
  return { ...uniformPolicy(outcome === "accept" ? "reject" : "accept"), [kind]: outcome };
}

Deno.test("what a hook throws, at once or later, is the policy's for errors; the connection lives on", async () => {
  for (const outcome of OUTCOMES) {
    for (const stage of STAGES) {
      for (const late of [false, true]) {
        const act = () => {
          if (late) return Promise.reject(new Error("boom"));
          throw new Error("boom");
        };
        const server = serving(failing(stage, act), { policy: policy("error", outcome) });
        const label = `${outcome} ${stage} ${late}`;
        const client = await MtaClient.connect(server.connect());
        const { verdict, stage: where } = await client.sendMail();
        assert.deepEqual([verdict, where], [
          stage === "endOfMessage" && outcome === "accept" ? "continue" : outcome,
          stage,
        ], label);
        assert.deepEqual(server.failures.map(({ kind, hook, outcome }) => `${kind} ${hook} ${outcome}`), [
          `error ${stage} ${outcome}`,
        ], label);
        assert.match(server.failures[0].message, /boom/);
        if (!client.over) assert.equal((await client.sendMail()).verdict, "continue", label);
        await client.quit();
        await server.stop();
      }
    }
  }
});

Deno.test("a hook that does not answer in time is the policy's for timeouts, wherever it hangs", async () => {
  await Promise.all(OUTCOMES.flatMap((outcome) =>
    STAGES.map(async (stage) => {
      const hang = new Promise(() => {});
      const server = serving(failing(stage, () => hang), {
        policy: policy("timeout", outcome),
        timeout: 5000,
      });
      const label = `${outcome} ${stage}`;
      const client = await MtaClient.connect(server.connect());
      const { verdict } = await passTime(server, 1000, client.sendMail());
      assert.equal(verdict, stage === "endOfMessage" && outcome === "accept" ? "continue" : outcome, label);
      assert.deepEqual(
        server.failures.map(({ kind, hook }) => `${kind} ${hook}`),
        [`timeout ${stage}`],
        label,
      );
      if (!client.over) assert.equal((await client.sendMail()).verdict, "continue", label);
      await client.quit();
      await server.stop();
    })
  ));
});

Deno.test("a verdict that is none is the policy's for bad verdicts", async () => {
  for (const outcome of OUTCOMES) {
    const server = serving({ endOfMessage: () => "yes" as never }, {
      policy: policy("bad-verdict", outcome),
    });
    const client = await MtaClient.connect(server.connect());
    assert.equal((await client.sendMail()).verdict, outcome === "accept" ? "continue" : outcome);
    assert.equal(server.failures[0].kind, "bad-verdict");
    await client.quit();
    await server.stop();
  }
});

Deno.test("while a hook works at the end of a message the MTA gets progress, and nowhere else", async () => {
  for (const stage of ["mail", "endOfMessage"] as const) {
    const entered = Promise.withResolvers<void>();
    const work = Promise.withResolvers<void>();
    const hook = () => {
      entered.resolve();
      return work.promise;
    };
    const server = serving({ [stage]: hook }, { timeout: 100_000 });
    const progress: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()];
    let count = 0;
    const client = await MtaClient.connect(server.connect(), {
      onFrame: ({ name }) => name === "SMFIR_PROGRESS" && progress[count++]?.resolve(),
    });
    const sending = client.sendMail();
    await entered.promise;
    if (stage === "endOfMessage") {
      for (const { promise } of progress) {
        server.advance(PROGRESS_INTERVAL);
        await promise;
      }
    } else {
      server.advance(PROGRESS_INTERVAL * 5);
      // Two looks at the clock, at least.
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    work.resolve();
    assert.equal((await sending).verdict, "continue");
    assert.equal(count, stage === "endOfMessage" ? 2 : 0);
    await client.quit();
    await server.stop();
  }
});

Deno.test("a hook sees that the MTA went away, and the deadline, by its signal", async () => {
  for (const stage of ["connect", "mail", "header", "endOfMessage"] as const) {
    for (const cause of ["close", "timeout"] as const) {
      const entered = Promise.withResolvers<void>();
      const aborted = Promise.withResolvers<unknown>();
      const calls: string[] = [];
      const hook = (...args: unknown[]) => {
        const { signal } = args.at(-1) as { signal: AbortSignal };
        entered.resolve();
        return new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            aborted.resolve(signal.reason);
            calls.push(stage);
            resolve();
          });
        });
      };
      const filter: Filter = {
        [stage]: hook,
        abort: () => void calls.push("abort"),
        close: () => void calls.push("close"),
      };
      const server = serving(filter, { timeout: 5000 });
      const client = await MtaClient.connect(server.connect());
      const sending = client.sendMail();
      await entered.promise;
      if (cause === "close") client.close();
      else server.advance(5000);
      const reason = await aborted.promise;
      assert.ok(
        reason instanceof DOMException && reason.name === "AbortError",
        `${stage} ${cause}: ${reason}`,
      );
      if (cause === "close") await assert.rejects(sending, { kind: "closed" });
      else {
        assert.equal((await sending).verdict, "tempfail");
        await client.quit();
      }
      await server.stop();
      assert.deepEqual(calls.filter((call) => call === "close"), ["close"], `${stage} ${cause}`);
      // The mail is aborted when the MTA goes before its end; after the deadline it has its verdict.
      const aborts = cause === "close" && (stage === "mail" || stage === "header") ? 1 : 0;
      assert.equal(calls.filter((call) => call === "abort").length, aborts, `${stage} ${cause}`);
      assert.equal(calls.at(-1), "close");
    }
  }
});

Deno.test("what a timed-out hook does later touches neither its own mail nor the next", async () => {
  const release = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  let first = true;
  const filter: Filter = {
    async message(mail, { addHeader, replaceBody, quarantine, transaction, connection }) {
      if (!first) {
        addHeader("X-Second", mail.sender.address);
        assert.equal(transaction.leaked, undefined);
        return accept();
      }
      first = false;
      addHeader("X-Early", "1");
      await release.promise;
      for (
        const edit of [() => addHeader("X-Late", "1"), () => replaceBody("late"), () => quarantine("late")]
      ) {
        try {
          edit();
        } catch {
          // Refusing is as good as ignoring.
        }
      }
      transaction.leaked = true;
      connection.late = true;
      finished.resolve();
      return accept();
    },
  };
  const server = serving(filter, { timeout: 5000 });
  const client = await MtaClient.connect(server.connect());
  const timedOut = await passTime(server, 1000, client.sendMail({ sender: "first@example.org" }));
  assert.deepEqual([timedOut.verdict, timedOut.edits], ["tempfail", []]);
  // The late hook goes on in the middle of the next mail.
  await client.command({ kind: "mail", address: utf8("<second@example.org>"), args: [] });
  await client.command({ kind: "rcpt", address: utf8("<a@example.com>"), args: [] });
  release.resolve();
  await finished.promise;
  await client.abort();
  const next = await client.sendMail({ sender: "third@example.org" });
  assert.equal(next.message, "Subject: test\r\nX-Second: third@example.org\r\n\r\nTest.\r\n");
  assert.equal(next.mail?.quarantine, undefined);
  await client.quit();
  await server.stop();
  assert.equal(server.mails.length, 3);
});

Deno.test("a late answer does not stand in for the hook of the next mail: that one keeps its deadline", async () => {
  const first = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  let calls = 0;
  const filter: Filter = {
    mail() {
      if (calls++ === 0) return first.promise;
      entered.resolve();
      return new Promise<void>(() => {});
    },
  };
  const server = serving(filter, { timeout: 5000 });
  const client = await MtaClient.connect(server.connect(), { timeout: 5000 });
  await passTime(server, 1000, client.sendMail());
  const next = client.sendMail();
  await entered.promise;
  first.resolve();
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal((await passTime(server, 1000, next)).verdict, "tempfail");
  await client.quit();
  await server.stop();
  assert.deepEqual(server.failures.map(({ kind }) => kind), ["timeout", "timeout"]);
});

Deno.test("a hook that asks for its signal late finds it aborted", async () => {
  for (const stage of ["connect", "mail"] as const) {
    const entered = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const seen = Promise.withResolvers<boolean>();
    const hook = async (...args: unknown[]) => {
      entered.resolve();
      await gone.promise;
      seen.resolve((args.at(-1) as { signal: AbortSignal }).signal.aborted);
    };
    const closed = Promise.withResolvers<void>();
    const server = serving({ [stage]: hook, close: () => closed.resolve() });
    const client = await MtaClient.connect(server.connect());
    const sending = assert.rejects(client.sendMail(), { kind: "closed" });
    await entered.promise;
    client.close();
    await sending;
    // The server has to notice first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    gone.resolve();
    assert.equal(await seen.promise, true, stage);
    await closed.promise;
    await server.stop();
  }
});

Deno.test("a rejection after the deadline is not an answer, and no unhandled one", async () => {
  const work = Promise.withResolvers<void>();
  let calls = 0;
  const server = serving({ mail: () => calls++ === 0 ? work.promise : undefined }, { timeout: 5000 });
  const client = await MtaClient.connect(server.connect());
  const late = await passTime(server, 1000, client.sendMail());
  assert.equal(late.verdict, "tempfail");
  work.reject(new Error("too late"));
  assert.equal((await client.sendMail()).verdict, "continue");
  await client.quit();
  await server.stop();
  assert.equal(server.failures.length, 1);
});

Deno.test("after an abort nothing of the previous mail is left", async () => {
  const seen: unknown[] = [];
  const filter: Filter = {
    mail: (_sender, { transaction }) => void (transaction.mark = true),
    rcpt() {},
    header() {},
    body() {},
    message(mail, { transaction, recipients, headers, addHeader }) {
      seen.push([
        mail.sender.address,
        recipients.length,
        headers.length,
        mail.body.size,
        Object.keys(transaction),
      ]);
      addHeader("X-A", "b");
    },
  };
  for (const dialect of ["postfix", "sendmail"] as const) {
    for (const abortAfter of ["rcpt", "header", "body"] as const) {
      seen.length = 0;
      const server = serving(filter);
      const client = await MtaClient.connect(server.connect(), { dialect });
      const large = {
        message: `A: 1\nB: 2\n\n${"x".repeat(100)}`,
        recipients: ["a@x.example", "b@x.example"],
      };
      await client.sendMail(large, { abortAfter });
      const next = await client.sendMail({ sender: "n@x.example" });
      assert.deepEqual(seen, [["n@x.example", 1, 1, 7, ["mark"]]], `${dialect} ${abortAfter}`);
      assert.equal(next.edits.length, 1);
      await client.quit();
      await server.stop();
    }
  }
});

Deno.test("commands that come while a hook works wait their turn", async () => {
  const work = Promise.withResolvers<void>();
  const order: string[] = [];
  const filter: Filter = {
    async mail() {
      order.push("mail in");
      await work.promise;
      order.push("mail out");
    },
    header: (field) => void order.push(field.name),
    abort: () => void order.push("abort"),
  };
  const server = serving(filter);
  // A version 2 MTA with no answers to headers: it runs ahead.
  const client = await MtaClient.connect(server.connect());
  const sending = client.command({ kind: "mail", address: utf8("<a@b>"), args: [] });
  while (order.length === 0) await new Promise((resolve) => setTimeout(resolve));
  work.resolve();
  await sending;
  await client.abort();
  await client.quit();
  await server.stop();
  assert.deepEqual(order, ["mail in", "mail out", "abort"]);
  assert.equal(lettersOf(client.trace, "filter"), "O c");
});
