// The MTA client against a filter of another make: one in C on libmilter, which holds the MTA to its own order of
// commands and answers nothing to an illegal one.
import assert from "node:assert/strict";
import { startOrders, withOrders } from "../../../tests/helpers/libmilter.ts";
import { utf8 } from "../../../tests/property/wire.ts";
import { MtaClient } from "../../testing/mta_client.ts";
import type { MtaClientOptions } from "../../testing/mta_client_types.ts";
import { parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { readArgs } from "../args.ts";
import { testIo } from "../test_io.ts";
import { command } from "./send.ts";

const DIALECTS = ["postfix", "sendmail"] as const;
/** Runs a test with the filter on a Unix socket and on TCP. */
function withFilter(name: string, run: (spec: string) => Promise<void>): void {
  withOrders(name, async (program, spec) => {
    await using _filter = await startOrders(program, spec);
    await run(spec);
  });
}

async function connect(spec: string, options: MtaClientOptions = {}): Promise<MtaClient> {
  return await MtaClient.connect(await dial(parseAddress(spec)), options);
}

withFilter("libmilter: every verdict at every stage, many mails over one connection", async (spec) => {
  const stages = ["mail", "rcpt", "data", "header", "endOfHeaders", "body", "endOfMessage"];
  for (const dialect of DIALECTS) {
    const client = await connect(spec, { dialect });
    for (const stage of stages) {
      for (
        const [order, verdict, reply] of [
          ["accept", "accept", undefined],
          ["reject", "reject", undefined],
          ["tempfail", "tempfail", undefined],
          ["discard", "discard", undefined],
          ["text", "reject", "554 5.7.1 100% no"],
          ["lines", "tempfail", "451-4.7.1 one\r\n451 4.7.1 two"],
        ] as const
      ) {
        const sent = await client.sendMail({ sender: `${order}-${stage}@example.org` });
        const label = `${dialect} ${order}-${stage}`;
        assert.deepEqual([sent.verdict, sent.stage, sent.reply], [verdict, stage, reply], label);
        assert.equal(sent.mail !== undefined, verdict === "accept", label);
      }
    }
    assert.equal((await client.sendMail()).verdict, "continue");
    await client.quit();
    assert.deepEqual(client.warnings, []);
  }
});

withFilter("libmilter: every edit", async (spec) => {
  for (const dialect of DIALECTS) {
    const client = await connect(spec, { dialect });
    const { mail, message, warnings } = await client.sendMail({
      sender: "edit@example.org",
      message: "Subject: old\nX-Gone: 1\nX-Kept: 2\n\nold\n",
    });
    assert.equal(
      message,
      `X-Top: a\r\n b\r\nSubject: changed\r\nX-Kept: 2\r\nX-Calls: CHMRTLLLNBE aborts=0 mails=1 i=TEST1\r\n\r\n` +
        "line\r\nline\r\nline\r\n",
    );
    assert.deepEqual(mail?.recipients, ["<new@example.com>", "<par@example.com>"]);
    assert.deepEqual([mail?.sender, mail?.quarantine, warnings], ["<>", "looks odd", []]);
    await client.quit();
  }
});

withFilter("libmilter: mails broken off at every stage", async (spec) => {
  for (const dialect of DIALECTS) {
    const client = await connect(spec, { dialect });
    let aborts = 0;
    for (const abortAfter of ["mail", "rcpt", "data", "header", "endOfHeaders", "body"] as const) {
      await client.sendMail({ recipients: ["a@x.example", "b@x.example"] }, { abortAfter });
      aborts++;
      const whole = await client.sendMail();
      const calls = `MRTLNBE aborts=${aborts} mails=${aborts} `;
      assert.ok(whole.message!.includes(`X-Calls: ${calls}`), `${dialect} ${abortAfter}: ${whole.message}`);
    }
    await client.quit();
  }
});

withFilter(
  "libmilter: skip, refused recipients, refused HELO, unknown commands, IPv6, versions",
  async (spec) => {
    // An older Sendmail does not offer what this filter insists on.
    const old = connect(spec, { dialect: "sendmail", version: 4 });
    await assert.rejects(old, { kind: "closed", message: /does not offer/ });
    for (const dialect of DIALECTS) {
      for (const version of [2, 3, 4, 6]) {
        const client = await connect(spec, {
          dialect,
          version,
          actions: 0x1ff,
          client: { host: "[2001:db8::1]", address: "2001:db8::1" },
        });
        await client.helo();
        for (const [line, verdict] of [["FROB x", "continue"], ["FORBIDDEN", "reject"]]) {
          const { answer } = await client.command({ kind: "unknown", command: utf8(line) });
          assert.equal(answer?.verdict, version === 2 ? undefined : verdict, `${dialect} ${version} ${line}`);
        }
        const some = await client.sendMail({ recipients: ["nobody@example.com", "a@example.com"] });
        assert.deepEqual(some.mail?.recipients, ["<a@example.com>"]);
        assert.equal(some.refused.length, 1);
        const none = await client.sendMail({ recipients: ["nobody@example.com"] });
        assert.deepEqual([none.verdict, none.stage], ["reject", "rcpt"]);
        // libmilter sends skip whether it was negotiated or not, also to MTAs too old for it.
        const large = await client.sendMail({
          sender: "skip-body@example.org",
          message: `A: 1\n\n${"x".repeat(200_000)}`,
        });
        assert.match(large.message!, /X-Calls: MRT?LNBE /, `${dialect} ${version}`);
        const skipped = "The filter sends SMFIR_SKIP and did not negotiate SMFIP_SKIP";
        assert.deepEqual(large.warnings, [skipped]);
        await client.quit();
      }
      const refused = await connect(spec, { dialect, helo: "reject.example" });
      const { verdict, stage } = await refused.sendMail();
      assert.deepEqual([verdict, stage], ["reject", "helo"]);
      await refused.quit();
    }
  },
);

withFilter("libmilter: a second SMTP connection on the same socket", async (spec) => {
  for (const dialect of DIALECTS) {
    const client = await connect(spec, { dialect });
    for (let n = 0; n < 3; n++) {
      // A mail before, as libmilter takes SMFIC_QUIT_NC only after one.
      const { message } = await client.sendMail();
      assert.match(message!, /X-Calls: CHMRTLNBE aborts=0 mails=1 /, dialect);
      await client.newConnection();
    }
    client.close();
  }
});

withFilter("libmilter: many connections at once", async (spec) => {
  await Promise.all(Array.from({ length: 8 }, async (_, id) => {
    const client = await connect(spec, { dialect: DIALECTS[id % 2] });
    for (let n = 0; n < 5; n++) {
      const sender = n === 3 ? "reject-data@example.org" : "me@example.org";
      assert.equal((await client.sendMail({ sender })).verdict, n === 3 ? "reject" : "continue");
    }
    await client.quit();
  }));
});

withFilter("libmilter: millrace send shows its replies", async (spec) => {
  const io = testIo({ files: { "a.eml": "Subject: old\n\nbody\n" } });
  const args = [spec, "a.eml", "--from", "edit@example.org", "--timeout", "10s"];
  assert.equal(await command.run(readArgs(command.spec, args), io), 0);
  for (
    const line of [
      "  < m SMFIR_CHGHEADER 1 Subject: changed\n",
      "+Subject: changed\n",
      "quarantine: looks odd\n",
    ]
  ) {
    assert.ok(io.out().includes(line), `${line}\n${io.out()}`);
  }
});
