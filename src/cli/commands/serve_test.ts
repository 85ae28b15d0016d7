import assert from "node:assert/strict";
import { parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { CommandError } from "../command.ts";
import { logged, MARK, sendMail, serving } from "../test_serve.ts";
import { refuseOldDeno } from "./serve.ts";

Deno.test("serve says where it listens, and what to tell Postfix and Sendmail", async () => {
  await serving(MARK, async ({ io, address }) => {
    const where = await address();
    const port = /^inet:([0-9]+)@127\.0\.0\.1$/.exec(where)?.[1];
    assert.ok(port && port !== "0", where);
    assert.equal(
      logged(io, /^Postfix/)[0].message,
      `Postfix, main.cf: smtpd_milters = inet:127.0.0.1:${port}`,
    );
    assert.equal(
      logged(io, /^Sendmail/)[0].message,
      `Sendmail, sendmail.mc: INPUT_MAIL_FILTER(\`millrace', \`S=inet:${port}@127.0.0.1, F=T')dnl`,
    );
    assert.equal(
      logged(io, /^Filter/)[0].message,
      "Filter f: 10s for a hook; if it fails, mail gets: tempfail",
    );
    assert.equal(logged(io, /root/).length, 0);
  });
});

Deno.test("serve answers mails and logs one line for each", async () => {
  await serving(MARK, async ({ io, address }) => {
    const { codes, quit } = await sendMail(await address(), "<s@a.example>\r\nfake");
    assert.match(codes, /^c\|.*c$/);
    await io.errHas('"message":"mail"');
    quit();
    const [mail, ...others] = logged(io, "mail");
    assert.equal(others.length, 0);
    const { time, ms, ...rest } = mail;
    assert.ok(typeof ms === "number" && ms >= 0 && Date.parse(String(time)) > 0);
    assert.equal(rest.level, "info");
    assert.equal(rest.queue, "4fX1");
    assert.match(String(rest.client), /192\.0\.2\.7/);
    assert.match(String(rest.sender), /s@a\.example/);
    assert.deepEqual([rest.recipients, rest.verdict, rest.edits, rest.filter], [1, "continue", 1, "f"]);
  });
});

Deno.test("serve logs as text on a terminal, one line per mail whatever the client sends", async () => {
  await serving(MARK, async ({ io, address }) => {
    const { quit } = await sendMail(await address(), "<s@a\x1b[2J\n2026 info mail queue=fake>");
    await io.errHas(" mail queue=4fX1");
    quit();
    const mails = io.err().split("\n").filter((line) => / mail queue=/.test(line));
    assert.equal(mails.length, 1);
    assert.match(mails[0], /^\S+ info mail queue=4fX1 client=.* sender="?<?s@a\\x1b\[2J\\n2026 info mail/);
    assert.ok(!io.err().includes("\x1b"));
  }, { isTerminal: true });
});

Deno.test("serve stops at SIGTERM and SIGINT: open mails finish, exit code 0", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const slow = `export default { async message(_mail, c) {
      c.log.info("working");
      while (!globalThis.released) await new Promise((r) => setTimeout(r, 5));
      c.addHeader("X-A", "b");
    } };`;
    await serving(slow, async ({ io, address, ended }) => {
      const mail = sendMail(await address(), "<s@a.example>");
      await io.errHas('"working"');
      io.send(signal);
      await io.errHas(`${signal}: accepting no more`);
      Reflect.set(globalThis, "released", true);
      const { codes, quit } = await mail;
      assert.match(codes, /^c\|.*c$/, "the mail in work got its answer");
      quit();
      assert.equal(await ended, 0);
      assert.equal(logged(io, "Stopped").length, 1);
      Reflect.deleteProperty(globalThis, "released");
      await assert.rejects(dial(parseAddress(await address())), { kind: "refused" });
    });
  }
});

Deno.test("serve exits at once with 1 at a second signal", async () => {
  await serving(MARK, async ({ io, address }) => {
    await address();
    io.send("SIGTERM");
    io.send("SIGINT");
    assert.deepEqual(io.exits, [1]);
    assert.match(io.err(), /second signal \(SIGINT\), stopping at once/);
  });
});

Deno.test("serve lives on after errors that nobody caught", async () => {
  await serving(MARK, async ({ io, address }) => {
    const where = await address();
    io.uncaught(new Error("left behind"));
    const { codes, quit } = await sendMail(where, "<s@a.example>");
    quit();
    assert.match(codes, /c$/);
    assert.match(String(logged(io, /not caught/)[0].error), /left behind/);
  });
});

Deno.test("serve listens on a Unix socket with the mode of the configuration, and removes it", async () => {
  const config =
    'listen: ["inet:0@127.0.0.1", "unix:FOLDER/m.sock"]\nsocket: { mode: 0600 }\nfilters: [{ use: ./f.ts, isolation: none }]\n';
  await serving(MARK, async ({ io, folder, ended }) => {
    await io.errHas(`S=unix:${folder}/m.sock`);
    assert.equal((await Deno.stat(`${folder}/m.sock`)).mode! & 0o777, 0o600);
    const { codes, quit } = await sendMail(`unix:${folder}/m.sock`, "<s@a.example>");
    quit();
    assert.match(codes, /c$/);
    io.send("SIGTERM");
    assert.equal(await ended, 0);
    await assert.rejects(Deno.stat(`${folder}/m.sock`), Deno.errors.NotFound);
  }, { config });
});

Deno.test("serve warns when it runs as root", async () => {
  await serving(MARK, async ({ io, address }) => {
    await address();
    assert.equal(logged(io, /^Running as root/)[0].level, "warn");
  }, { uid: 0 });
});

Deno.test("serve logs the failure of a filter with hook and outcome", async () => {
  await serving("export default { rcpt() { throw new Error('oh no'); } };", async ({ io, address }) => {
    const sent = sendMail(await address(), "<s@a.example>");
    await io.errHas('"filter failed"');
    const [failure] = logged(io, "filter failed");
    assert.equal(failure.level, "error");
    assert.deepEqual([failure.filter, failure.hook, failure.kind, failure.outcome], [
      "f",
      "rcpt",
      "error",
      "tempfail",
    ]);
    assert.match(String(failure.error), /oh no/);
    (await sent).quit();
  });
});

Deno.test("serve does not start when it cannot run or listen", async () => {
  const fails = async (filter: string, expected: RegExp, exitCode: number, config?: string) => {
    await serving(filter, async ({ ended, io }) => {
      await assert.rejects(ended, (error) => {
        assert.ok(error instanceof CommandError, String(error));
        assert.match(error.message, expected);
        assert.equal(error.exitCode, exitCode);
        return true;
      });
      assert.ok(!io.err().includes("Listening"));
    }, { config });
  };
  await fails("export default {};", /it has no hook/, 2);
  await fails(
    MARK,
    /Cannot use the folder \S+\/spool \(spool\.folder\)/,
    2,
    "listen: inet:0@127.0.0.1\nspool: { folder: ./spool }\nfilters: [{ use: ./f.ts, isolation: none }]\n",
  );
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const config =
    `listen: [unix:FOLDER/m.sock, inet:${port}@127.0.0.1]\nfilters: [{ use: ./f.ts, isolation: none }]\n`;
  await fails(
    MARK,
    new RegExp(`Cannot listen on inet:${port}@127\\.0\\.0\\.1: .*already listens`),
    1,
    config,
  );
  taken.close();
});

Deno.test("refuseOldDeno() names both versions and the way out", () => {
  assert.throws(
    () => refuseOldDeno("2.9.4"),
    /^CommandError: Cannot serve on Deno 2\.9\.4: 2\.9\.5 or later is needed; .*deno upgrade/,
  );
  refuseOldDeno("2.9.5");
  refuseOldDeno("3.0.0");
});
