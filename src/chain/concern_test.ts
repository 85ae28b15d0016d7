// Which mails a link is asked about, and links that are only tried out.
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
  when,
} from "../../tests/helpers/chain_play.ts";
import type { Filter } from "../filter/mod.ts";
import { type Options, SMFIC } from "../protocol/mod.ts";
import { Chain } from "./chain.ts";
import type { ChainEntry } from "./plan.ts";

test("a condition is decided as early as it can be; a link that is not concerned hears nothing", async () => {
  for (
    const [concerns, at] of [[true, "mail"], [false, "mail"], [true, "rcpt"], [true, "endOfHeaders"], [
      false,
      "endOfHeaders",
    ]] as const
  ) {
    const calls: string[] = [];
    const order = ["connect", "helo", "mail", "rcpt", "data", "endOfHeaders", "body", "endOfMessage"];
    const condition = when(
      `at ${at}`,
      ({ stage }) => order.indexOf(stage) >= order.indexOf(at) ? concerns : undefined,
      new Set(["headers"]),
    );
    const chain = new Chain([
      entry(noting("a", calls), { when: condition }),
      entry({ name: "b", message() {} }),
    ]);
    const driver = connected(chain);
    await driver.begin();
    assert.deepEqual(calls, []);
    const told: Record<string, number> = {};
    for (
      const [name, command] of Object.entries({
        mail: mail(),
        rcpt: rcpt("one@lab.example"),
        data,
        header: header("A", "b"),
        endOfHeaders,
        body: body("x"),
        end,
      })
    ) {
      await said(driver, command);
      told[name] = calls.length;
    }
    const [first] = Object.entries(told).find(([, count]) => count > 0) ?? ["never"];
    assert.equal(first, concerns ? at : "never");
    // Whenever it was told, it was told all, in order.
    assert.deepEqual(
      calls,
      concerns
        ? [
          "a connect 192.0.2.1",
          "a helo",
          "a mail a@client.example",
          "a rcpt one@lab.example",
          "a data",
          "a header A",
          "a endOfHeaders",
          "a body",
          "a endOfMessage",
        ]
        : [],
    );
    const { links } = driver.notes.mails[0];
    assert.equal(links![0].part, concerns ? "answered" : "unconcerned");
    assert.equal(links![0].reason, concerns ? undefined : `not the case: at ${at}`);
    await driver.lost();
  }
});

test("a link that may not be concerned is not even negotiated with, if what it wants is known", async () => {
  const sessions: string[] = [];
  const spied = (name: string, forWhom: string, negotiates?: Filter["negotiate"]): ChainEntry => {
    const filter: Filter = {
      name,
      message: (_mail, { addHeader }) => addHeader(name, "1"),
      negotiate: negotiates,
    };
    const condition = when(`for ${forWhom}`, ({ sender }) => sender && sender.address === forWhom);
    const made = entry(filter, { when: condition });
    const { link } = made;
    return {
      ...made,
      link: {
        name,
        foretell: (offer) => link.foretell?.(offer),
        close: () => link.close(),
        open(host, answerData) {
          const session = link.open(host, answerData);
          const receive = session.receive.bind(session);
          session.receive = (frame, out) => {
            if (frame.code === SMFIC.OPTNEG) sessions.push(name);
            return receive(frame, out);
          };
          return session;
        },
      },
    };
  };
  let grows = false;
  const chain = new Chain([
    spied("X-A", "a@client.example"),
    spied("X-B", "b@client.example"),
    // What it wants only its hook knows, so it is asked at once.
    spied("X-C", "nobody", () => ({})),
    entry({ name: "last", message() {} }),
  ]);
  const driver = connected(chain);
  await driver.begin();
  assert.deepEqual(sessions.splice(0), ["X-C"]);
  for (
    const [sender, asked, edits] of [["<a@client.example>", ["X-A"], 1], ["<c@client.example>", [], 0], [
      "<a@client.example>",
      [],
      1,
    ]] as const
  ) {
    const words = await said(
      driver,
      mail(sender),
      rcpt("one@lab.example"),
      header("A", "1"),
      endOfHeaders,
      end,
    );
    assert.deepEqual(sessions.splice(0), asked);
    assert.equal(words.filter((word) => word.startsWith("insertHeader")).length, edits);
  }
  await driver.lost();
  // One that turns out to want more than it had let know gets no mail of this connection.
  const more: Filter = { name: "more", body() {}, endOfMessage() {} };
  const wants = entry(more, { when: when("late", ({ stage }) => stage === "endOfMessage" || undefined) });
  const less = entry({ name: "less", endOfMessage() {} });
  const foretell = (offer: Options) => grows ? wants.link.foretell!(offer) : less.link.foretell!(offer);
  const lying = {
    ...wants,
    link: { name: "more", open: wants.link.open.bind(wants.link), close: () => wants.link.close(), foretell },
  };
  for (grows of [false, true]) {
    const driver = connected(new Chain([lying, entry({ name: "last", endOfMessage() {} })]));
    await driver.begin();
    const words = await said(driver, mail(), rcpt("one@lab.example"), body("x"), end);
    assert.equal(words.at(-1), grows ? "continue" : "tempfail");
    await driver.lost();
  }
});

test("a condition on the header waits for the links before that may change it", async () => {
  const condition = when(
    "marked",
    ({ stage, headers }) =>
      ["endOfHeaders", "body", "endOfMessage"].includes(stage) ? headers.has("X-Mark") : undefined,
    new Set(["headers"]),
  );
  const calls: string[] = [];
  const chain = new Chain([
    entry({ name: "mark", message: (_mail, { addHeader }) => addHeader("X-Mark", "yes") }),
    entry(noting("a", calls), { when: condition }),
  ]);
  const driver = connected(chain);
  await driver.begin();
  await said(driver, mail(), rcpt("one@lab.example"), data, header("A", "b"), endOfHeaders, body("x"));
  assert.equal(calls.length, 0);
  await said(driver, end);
  assert.ok(calls.includes("a header X-Mark"));
  assert.equal(calls.at(-1), "a endOfMessage");
});

test("a link that hears of a recipient too late to refuse it alone refuses the mail", async () => {
  const late = when("late", ({ stage }) => stage === "endOfMessage" ? true : undefined);
  const filter: Filter = {
    name: "picky",
    rcpt: (to, { reject }) => to.address.startsWith("two") ? reject("5.1.1", "no two") : undefined,
  };
  const chain = new Chain([entry({ name: "first", message() {} }), entry(filter, { when: late })]);
  const driver = connected(chain);
  await driver.begin();
  const words = await said(
    driver,
    mail(),
    rcpt("one@lab.example"),
    rcpt("two@lab.example"),
    data,
    endOfHeaders,
    end,
  );
  assert.equal(words.at(-1), "replyCode 550 5.1.1 no two");
});

test("a link in a share of the mails gets that share, and the connection only with it", async () => {
  const calls: string[] = [];
  let next = 0;
  const chain = new Chain(
    [entry(noting("a", calls), { canary: 0.5 }), entry({ name: "b", message() {} })],
    {},
    () => next,
  );
  const driver = connected(chain);
  await driver.begin();
  for (next of [0.7, 0.2, 0.5, 0.49]) {
    calls.length = 0;
    await said(driver, mail(), rcpt("one@lab.example"), data, header("A", "1"), endOfHeaders, end);
    assert.equal(calls.includes("a endOfMessage"), next < 0.5, String(next));
  }
  assert.equal(driver.notes.mails[0].links![0].reason, "not in its share of 50 %");
  assert.deepEqual(chain.counters.all().map(({ mails, unconcerned }) => [mails, unconcerned]), [[2, 2], [
    4,
    0,
  ]]);
});

test("a shadow link has its condition and its share like any other", async () => {
  const seen: string[] = [];
  const shadow = (name: string, rest: object) =>
    entry({ name, message: () => void seen.push(name) }, { mode: "shadow", ...rest });
  const from = (address: string) => when(`from ${address}`, ({ sender }) => sender?.address === address);
  const chain = new Chain(
    [
      shadow("yes", { when: from("a@client.example") }),
      shadow("no", { when: from("b@client.example") }),
      shadow("rare", { canary: 0.1 }),
      entry({ name: "in force", message() {} }),
    ],
    {},
    () => 0.5,
  );
  const driver = connected(chain);
  await driver.begin();
  await said(driver, mail(), rcpt("one@lab.example"), data, header("A", "1"), endOfHeaders, end);
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(seen, ["yes"]);
  assert.deepEqual(driver.notes.mails[0].links!.map(({ link, reason }) => [link, reason]), [
    ["yes", undefined],
    ["no", "not the case: from b@client.example"],
    ["rare", "not in its share of 10 %"],
    ["in force", undefined],
  ]);
  await driver.lost();
});

test("a shadow link sees the mail at its place, and has no effect, whatever it does", async () => {
  for (const does of ["reject", "edit", "nothing", "throw", "hang"] as const) {
    const seen: string[] = [];
    const logged: Record<string, unknown>[] = [];
    const shadow: Filter = {
      name: "tried",
      message(mail, { reject, addHeader }) {
        seen.push(
          [...mail.headers].map(({ name }) => name).join(),
          mail.body.text(),
          mail.recipients.length.toString(),
        );
        if (does === "reject") return reject("5.7.1", "no");
        if (does === "edit") addHeader("X-Shadow", "1");
        if (does === "throw") throw new Error("broken");
        if (does === "hang") return new Promise<void>(() => {});
      },
    };
    const mark = (name: string): Filter => ({
      name,
      message: (_mail, { addHeader }) => addHeader(name, "1"),
    });
    const chain = new Chain([entry(mark("X-One")), entry(shadow, { mode: "shadow" }), entry(mark("X-Two"))]);
    const driver = connected(chain);
    Object.assign(driver.notes.log, {
      info: (_message: string, fields: Record<string, unknown>) => void logged.push(fields),
      debug: (_message: string, fields: Record<string, unknown>) => void logged.push(fields),
    });
    await driver.begin();
    const words = await said(
      driver,
      mail(),
      rcpt("one@lab.example"),
      data,
      header("A", "1"),
      endOfHeaders,
      body("x\r\n"),
      end,
    );
    assert.deepEqual(words.slice(-3).map((word) => word.split(" ")[0]), [
      "insertHeader",
      "insertHeader",
      "continue",
    ]);
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(seen, ["A,X-One", "x\r\n", "1"]);
    if (does === "hang") chain.tick(performance.now() + 5000);
    await new Promise((resolve) => setTimeout(resolve));
    const differs = does === "reject" || does === "edit" || does === "throw" || does === "hang";
    const counts = chain.counters.all()[1];
    assert.deepEqual([counts.mails, counts.differed], [1, differs ? 1 : 0], does);
    assert.equal(logged.length, 1, does);
    assert.equal(
      logged[0].verdict,
      { reject: "reject", edit: "continue", nothing: "continue", throw: "tempfail", hang: "tempfail" }[does],
    );
    assert.equal(driver.notes.mails[0].links!.length, 3);
    assert.deepEqual(driver.notes.failures, []);
    chain.close();
    await driver.lost();
  }
});
