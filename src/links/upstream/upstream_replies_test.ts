// What upstream milters say: nonsense, surplus, pieces, progress, edits, old versions. Each milter here is played.
import assert from "node:assert/strict";
import { connectFrom, Driver, mailCommands } from "../../../tests/redteam/driver.ts";
import { ALL, bytesOf, Peer } from "../../../tests/upstream/peer.ts";
import { sayAll, settle, told, upstreamOf } from "../../../tests/upstream/upstreams.ts";
import { type Command, type Reply, SMFIP } from "../../protocol/mod.ts";

const encoder = new TextEncoder();
const MAIL = mailCommands("a@client.example", [encoder.encode("x")]);
const [mail, rcpt, data, header, endOfHeaders, body, endOfMessage] = MAIL;
const abort: Command = { kind: "abort" };

Deno.test("strangers and nonsense: kind protocol, by name where it is known", async (t) => {
  const frame = (...bytes: number[]) => Uint8Array.of(...bytes);
  const atNegotiation: [name: string, said: Uint8Array, words: RegExp][] = [
    ["HTTP", encoder.encode("HTTP/1.1 400 Bad Request\r\n\r\n"), /no milter at inet:8892.*HTTP server/],
    ["clamd", encoder.encode("UNKNOWN COMMAND\n"), /no milter at .*clamd/],
    ["SMTP", encoder.encode("220 mx ESMTP\r\n"), /no milter at .*SMTP server/],
    ["text", encoder.encode("hello there\n"), /no milter at .*hello there/],
    ["random bytes", frame(0x9c, 0x11, 0x00, 0xff, 0x07, 0x80), /breaks the protocol.*limit/],
    ["a frame without length", frame(0, 0, 0, 0, 0x63), /breaks the protocol.*length is 0/],
    ["an answer that is none", frame(0, 0, 0, 1, 0x63), /answered the negotiation with 'c'/],
    ["half an answer", frame(0, 0, 0, 5, 0x4f, 0, 0, 0, 6), /it ends inside|Cannot read/],
    ["a newer version", frame(0, 0, 0, 13, 0x4f, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0), /version 7/],
  ];
  for (const [name, said, words] of atNegotiation) {
    await t.step(name, async () => {
      const peer = new Peer(() => said);
      const { link, events } = upstreamOf(peer.dial);
      const driver = new Driver(link);
      assert.match((await driver.begin())[0], /^negotiate 6 0 /);
      assert.deepEqual(await driver.say(mail), ["tempfail"]);
      assert.deepEqual(told(driver), ["protocol mail tempfail"]);
      assert.match(driver.notes.failures[0].message, words);
      await driver.lost();
      assert.equal(events.length, 1);
      assert.match(events[0].message, /cannot be reached \(protocol\)/);
      await settle();
      assert.equal(link.connections, 0);
    });
  }
});

Deno.test("replies against the protocol: the mail fails, the connection ends", async (t) => {
  const text = encoder.encode("x");
  const edit: Reply = { kind: "addHeader", name: text, value: text };
  const rows: [name: string, at: string, deed: readonly Reply[] | Uint8Array, version?: Partial<Reply>][] = [
    ["an edit before the end", "R", [edit]],
    ["a quarantine before the end", "R", [{ kind: "quarantine", reason: text }]],
    ["an edit that was not negotiated", "E", [edit, { kind: "continue" }], { actions: 2 }],
    ["shutdown", "R", [{ kind: "shutdown" }]],
    ["connection failed", "M", [{ kind: "connectionFailed" }]],
    ["a second negotiation", "M", [ALL]],
    ["an unknown reply", "M", Uint8Array.of(0, 0, 0, 1, 0x7e)],
    ["a byte too many", "M", Uint8Array.of(0, 0, 0, 2, 0x63, 0)],
    ["an edit cut short", "E", Uint8Array.of(0, 0, 0, 3, 0x68, 0x41, 0x00)],
    ["a reply text of no SMTP", "R", [{ kind: "replyCode", text: encoder.encode("250 ok") }]],
    ["a reply text without NUL", "R", Uint8Array.of(0, 0, 0, 4, 0x79, 0x35, 0x35, 0x30)],
    ["over 1000 edits", "E", new Array<Reply>(1001).fill(edit)],
  ];
  for (const [name, at, deed, negotiated] of rows) {
    await t.step(name, async () => {
      const peer = new Peer((letter, nth) =>
        letter === "O" ? [{ ...ALL, ...negotiated } as Reply] : nth === 0 && letter === at ? deed : undefined
      );
      const { link, events } = upstreamOf(peer.dial);
      const driver = new Driver(link);
      await driver.begin();
      const replies = await driver.mail();
      assert(replies.includes("tempfail"), replies.join());
      assert(!replies.some((words) => words.startsWith("addHeader")), "no edit leaves");
      assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), ["protocol"]);
      await settle();
      assert(peer.seen[0].endsWith(`${at}.`), peer.seen[0]);
      await driver.say(abort);
      assert.equal((await driver.mail()).at(-1), "continue");
      await driver.lost();
      assert.deepEqual(events, []);
    });
  }
});

Deno.test("a reply that nobody asked for is not taken for the next answer", async () => {
  // One answer too many comes with the right one; alone in a mail; outside of any.
  for (const when of ["twice", "in a mail", "outside"]) {
    const peer = new Peer((letter, nth) =>
      when === "twice" && nth === 0 && letter === "M" ? [{ kind: "continue" }, { kind: "accept" }] : undefined
    );
    const { link } = upstreamOf(peer.dial);
    const driver = new Driver(link);
    await driver.begin();
    if (when !== "outside") assert.deepEqual(await driver.say(mail), ["continue"]);
    if (when !== "twice") await peer.say(Uint8Array.of(0, 0, 0, 1, 0x61));
    await settle();
    if (when === "outside") {
      // Nothing is lost: the mail goes through a new connection.
      assert.deepEqual(await driver.say(mail), ["continue"]);
      assert.deepEqual(told(driver), []);
    } else {
      assert.deepEqual(await driver.say(rcpt), ["tempfail"], when);
      assert.deepEqual(driver.notes.failures.map(({ kind }) => kind), ["protocol"], when);
    }
    await driver.lost();
  }
});

Deno.test("replies may come in pieces of any size", async () => {
  const peer = new Peer((letter) => letter === "E" ? "nothing" : undefined);
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  const replies = driver.mail();
  const name = encoder.encode("X");
  await settle();
  for (const byte of bytesOf({ kind: "addHeader", name, value: name }, { kind: "continue" })) {
    await peer.say(Uint8Array.of(byte));
    await settle();
  }
  assert.deepEqual((await replies).slice(-2), ["addHeader X X", "continue"]);
  await driver.lost();
});

Deno.test("progress at the end of a message is noted and not passed on; elsewhere it is ignored", async () => {
  const peer = new Peer((letter) =>
    letter === "E"
      ? [{ kind: "progress" }, { kind: "addHeader", name: encoder.encode("X"), value: encoder.encode("y") }, {
        kind: "progress",
      }, { kind: "continue" }]
      : letter === "R"
      ? [{ kind: "progress" }, { kind: "continue" }]
      : undefined
  );
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  assert.deepEqual(await sayAll(driver, mail, rcpt), ["continue", "continue"]);
  assert.equal(driver.session.progressed, undefined);
  const before = driver.notes.now();
  await sayAll(driver, data, header, endOfHeaders, body);
  assert.deepEqual(await driver.say(endOfMessage), ["addHeader X y", "continue"]);
  assert.ok(driver.session.progressed! >= before);
  await driver.lost();
});

Deno.test("a new body leaves in one run, behind the other edits", async () => {
  const edit: Reply = { kind: "addRecipient", address: encoder.encode("<b@x.example>") };
  const part = (text: string): Reply => ({ kind: "replaceBody", chunk: encoder.encode(text) });
  const peer = new Peer((letter) =>
    letter === "E" ? [part("a"), edit, part("b"), edit, part("c"), { kind: "accept" }] : undefined
  );
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  const replies = (await driver.mail()).slice(-6);
  const recipient = "addRecipient <b@x.example>";
  assert.deepEqual(replies, [
    recipient,
    recipient,
    "replaceBody a",
    "replaceBody b",
    "replaceBody c",
    "accept",
  ]);
  assert.equal(driver.notes.mails[0].edits, 3);
  await driver.lost();
});

Deno.test("a milter of an older version is not sent what it does not know", async () => {
  for (
    const [version, seen] of [[2, "OCHMRLNBE"], [3, "OCUHMRLNBE"], [4, "OCUHMRTLNBE"], [
      0,
      "OCHMRLNBE",
    ]] as const
  ) {
    const peer = new Peer((letter) =>
      letter === "O" ? [{ ...ALL, version, actions: 0x3f } as Reply] : undefined
    );
    const { link } = upstreamOf(peer.dial);
    const driver = new Driver(link);
    const [negotiated] = await driver.say({
      kind: "negotiate",
      version: 6,
      actions: 0x1ff,
      protocol: 0x1fffff,
    });
    assert.equal(negotiated, `negotiate ${Math.max(2, version)} 63 0 [0]`);
    // An MTA that sends all the same is answered.
    const helo: Command = { kind: "helo", name: encoder.encode("helo") };
    const unknown: Command = { kind: "unknown", command: encoder.encode("FROB") };
    const replies = await sayAll(driver, connectFrom("c"), unknown, helo, ...MAIL);
    assert.deepEqual(replies, new Array(10).fill("continue"));
    assert.equal(peer.seen[0], seen);
    await driver.lost();
  }
});

Deno.test("what a milter refuses to see or to answer over the MTA's offer is kept on this side", async () => {
  const protocol = SMFIP.NR_MAIL | SMFIP.NR_RCPT | SMFIP.NR_HDR | SMFIP.NOCONNECT | SMFIP.NOHELO |
    SMFIP.NOEOH;
  const peer = new Peer((letter) =>
    letter === "O" ? [{ ...ALL, protocol } as Reply] : "MRL".includes(letter) ? "nothing" : undefined
  );
  const { link, events } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  // As Stalwart offers.
  const replies = await driver.begin("client", { actions: 0xff, protocol: SMFIP.NOHELO | SMFIP.NOEOH });
  assert.deepEqual(replies, [`negotiate 6 255 ${SMFIP.NOHELO | SMFIP.NOEOH} [0]`, "continue", "continue"]);
  assert.deepEqual(await driver.mail(), new Array(7).fill("continue"));
  assert.equal(peer.seen[0], "OMRTLBE");
  assert.match(events[0].message, /over an offer/);
  await driver.mail();
  assert.equal(events.length, 1);
  await driver.lost();
});
