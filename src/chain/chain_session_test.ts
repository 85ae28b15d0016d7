// One connection through a chain, command by command: what each link is told, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  body,
  connected,
  data,
  end,
  endOfHeaders,
  entry,
  header,
  mail,
  noting,
  rcpt,
  said,
} from "../../tests/helpers/chain_play.ts";
import { connectFrom } from "../../tests/redteam/driver.ts";
import type { Filter } from "../filter/mod.ts";
import { type Command, SMFIP } from "../protocol/mod.ts";
import { Chain } from "./chain.ts";

const encoder = new TextEncoder();

test("the envelope passes the links in turn, the content goes to the first as it comes and to the others at the end", async () => {
  const calls: string[] = [];
  const chain = new Chain([entry(noting("a", calls)), entry(noting("b", calls))]);
  const driver = connected(chain);
  await driver.begin();
  assert.deepEqual(calls.splice(0), ["a connect 192.0.2.1", "b connect 192.0.2.1", "a helo", "b helo"]);
  await said(driver, mail(), rcpt("one@lab.example"), rcpt("two@lab.example"), data);
  assert.deepEqual(calls.splice(0), [
    "a mail a@client.example",
    "b mail a@client.example",
    "a rcpt one@lab.example",
    "b rcpt one@lab.example",
    "a rcpt two@lab.example",
    "b rcpt two@lab.example",
    "a data",
    "b data",
  ]);
  await said(driver, header("X-A", "1"), endOfHeaders, body("x"));
  assert.deepEqual(calls.splice(0), ["a header X-A", "a endOfHeaders", "a body"]);
  await said(driver, end);
  assert.deepEqual(calls.splice(0), [
    "a endOfMessage",
    "b header X-A",
    "b endOfHeaders",
    "b body",
    "b endOfMessage",
  ]);
  await driver.lost();
});

test("a link that answers nothing before the end sees the envelope as those before have left it", async () => {
  const seen: string[] = [];
  const chain = new Chain([
    entry({
      name: "edits",
      message: (_mail, { changeSender, addRecipient, removeRecipient, addHeader, replaceBody }) => {
        changeSender("<new@client.example>", "RET=HDRS");
        removeRecipient("<one@lab.example>");
        addRecipient("<three@lab.example>");
        addHeader("X-B", "2");
        replaceBody("other\nbody");
      },
    }),
    entry({
      name: "sees",
      message: ({ sender, recipients, headers, body, macros }) => {
        seen.push(sender.address, sender.args.join(), recipients.map(({ address }) => address).join());
        seen.push([...headers].map(({ name }) => name).join(), body.text(), macros.get("mail_addr") ?? "");
      },
    }),
  ]);
  const driver = connected(chain);
  await driver.begin();
  const macros: Command = {
    kind: "macros",
    stage: 0x4d,
    pairs: [[encoder.encode("{mail_addr}"), encoder.encode("a@client.example")]],
  };
  await said(
    driver,
    macros,
    mail(),
    rcpt("one@lab.example"),
    rcpt("two@lab.example"),
    header("X-A", "1"),
    endOfHeaders,
  );
  const replies = await said(driver, body("old\r\n"), end);
  assert.deepEqual(seen, [
    "new@client.example",
    "RET=HDRS",
    "two@lab.example,three@lab.example",
    "X-A,X-B",
    "other\r\nbody\r\n",
    "new@client.example",
  ]);
  assert.equal(replies.at(-1), "continue");
});

test("a refused recipient stays with that recipient, and links after it do not hear of it", async () => {
  const calls: string[] = [];
  const refuses: Filter = {
    name: "no",
    rcpt: (to, { reject }) => to.address.startsWith("two") ? reject("5.1.1", "no") : undefined,
  };
  const chain = new Chain([
    entry(noting("a", calls)),
    entry(refuses),
    entry(noting("b", calls)),
    entry({ name: "c", message: ({ recipients }) => void calls.push(`c ${recipients.length}`) }),
  ]);
  const driver = connected(chain);
  await driver.begin();
  const words = await said(
    driver,
    mail(),
    rcpt("one@lab.example"),
    rcpt("two@lab.example"),
    rcpt("three@lab.example"),
    data,
    endOfHeaders,
    end,
  );
  assert.deepEqual(words.filter((word) => word.startsWith("replyCode")), ["replyCode 550 5.1.1 no"]);
  assert.deepEqual(calls.filter((call) => call.includes("rcpt")), [
    "a rcpt one@lab.example",
    "b rcpt one@lab.example",
    "a rcpt two@lab.example",
    "a rcpt three@lab.example",
    "b rcpt three@lab.example",
  ]);
  assert.equal(calls.at(-1), "c 2");
  assert.equal(driver.notes.mails[0].refused, 1);
  assert.equal(driver.notes.mails[0].recipients, 2);
});

test("where nobody has anything more to say the mail server need not send the rest", async () => {
  const chain = new Chain([
    entry({ name: "a", header: (_field, { accept }) => accept() }),
    entry({ name: "b", header: (field, { accept }) => field.name === "B" ? accept() : undefined }),
  ]);
  const driver = connected(chain);
  await driver.begin();
  const words = await said(driver, mail(), rcpt("one@lab.example"), data, header("A", "1"), header("B", "2"));
  assert.equal(words.at(-1), "accept");
  assert.equal(driver.session.mailOpen, false);
  assert.equal(driver.notes.mails[0].why, "no link has anything more to say");
});

test("a body that no link wants any more is skipped, one that another wants is not", async () => {
  for (const other of [{ name: "b", endOfMessage() {} }, { name: "b", body() {} }] as Filter[]) {
    const chain = new Chain([entry({ name: "a", body: (_chunk, { skip }) => skip() }), entry(other)]);
    const driver = connected(chain);
    await driver.begin();
    const words = await said(driver, mail(), rcpt("one@lab.example"), data, endOfHeaders, body("x"));
    assert.equal(words.at(-1), other.body === undefined ? "skip" : "continue");
    assert.equal((await said(driver, end)).at(-1), "continue");
  }
});

test("mails of one connection, resets, a second HELO and a new client leave nothing behind", async () => {
  const calls: string[] = [];
  const chain = new Chain([
    entry(noting("a", calls)),
    entry(noting("b", calls, { message: ({ headers }) => void calls.push(`b saw ${headers.length}`) })),
  ]);
  const driver = connected(chain);
  await driver.begin();
  for (const way of ["abort", "helo", "mail", "end", "quitNewConnection"] as const) {
    await said(driver, mail(), rcpt("one@lab.example"), data, header("A", "1"));
    calls.length = 0;
    if (way === "end") await said(driver, end);
    else if (way === "helo") await said(driver, { kind: "helo", name: encoder.encode("again") });
    else if (way === "mail") await said(driver, mail("<next@client.example>"));
    else await said(driver, { kind: way });
    const aborts = calls.filter((call) => call.includes("abort"));
    assert.deepEqual(aborts, way === "end" ? [] : ["a abort", "b abort"], way);
    if (way === "quitNewConnection") {
      await said(driver, connectFrom("new"));
      assert.deepEqual(calls.slice(-2), ["a connect 192.0.2.1", "b connect 192.0.2.1"]);
    }
    if (way === "mail") await said(driver, { kind: "abort" });
    calls.length = 0;
    await said(driver, mail(), rcpt("one@lab.example"), data, header("B", "1"), header("C", "2"), end);
    assert.deepEqual(calls.filter((call) => call.startsWith("b saw")), ["b saw 2"], way);
  }
  await driver.lost();
});

test("what links ask of the mail server is put together", async () => {
  const chain = new Chain([
    entry({ name: "a", message: () => {}, leadingSpace: true, macros: { endOfMessage: ["{client_ptr}"] } }),
    entry({ name: "b", rcpt() {}, header() {} }),
  ]);
  const driver = connected(chain);
  const [answer] = await driver.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
  const [, version, actions, protocol, lists] = answer.split(" ");
  assert.deepEqual([version, Number(actions), lists], ["6", 0x1ff, "[2]"]);
  const flags = Number(protocol);
  const has = (...names: (keyof typeof SMFIP)[]) => names.map((name) => (flags & SMFIP[name]) !== 0);
  assert.deepEqual(
    has("NR_CONN", "NR_HELO", "NR_MAIL", "NODATA", "NOUNKNOWN", "NR_BODY", "HDR_LEADSPC"),
    Array(7).fill(true),
  );
  assert.deepEqual(has("NORCPT", "NR_RCPT", "NOHDRS", "NR_HDR", "NOBODY", "NOCONNECT"), Array(6).fill(false));
});

test("links with and without the leading blank see values and write them each in its way", async () => {
  const seen: string[] = [];
  const see = (name: string, leadingSpace: boolean): Filter => ({
    name,
    leadingSpace,
    message(mail, { addHeader }) {
      seen.push(`${name}:${[...mail.headers].map(({ raw }) => new TextDecoder().decode(raw)).join("|")}`);
      addHeader(`X-${name}`, leadingSpace ? " v" : "v");
    },
  });
  const chain = new Chain([
    entry(see("with", true)),
    entry(see("without", false)),
    entry(see("again", true)),
  ]);
  const driver = connected(chain);
  await driver.begin();
  const words = await said(
    driver,
    mail(),
    rcpt("one@lab.example"),
    data,
    header("A", " 1"),
    header("B", "\t2"),
    endOfHeaders,
    end,
  );
  assert.deepEqual(seen, ["with: 1|\t2", "without:1|\t2|v", "again: 1|\t2| v| v"]);
  assert.deepEqual(words.slice(-4, -1).map((word) => word.split(" ").slice(2).join(" ")), [
    "X-with  v",
    "X-without  v",
    "X-again  v",
  ]);
});
