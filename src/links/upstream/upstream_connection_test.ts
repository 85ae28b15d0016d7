// One connection to an upstream milter: its writes, its room, how it ends. Each milter here is played.
import assert from "node:assert/strict";
import { connectFrom, Driver, mailCommands } from "../../../tests/redteam/driver.ts";
import { ALL, Peer } from "../../../tests/upstream/peer.ts";
import { sayAll, settle, told, upstreamOf } from "../../../tests/upstream/upstreams.ts";
import {
  type Command,
  encodeCommand,
  FrameReader,
  FrameWriter,
  type Reply,
  SMFIP,
} from "../../protocol/mod.ts";

const encoder = new TextEncoder();
const MAIL = mailCommands("a@client.example", [encoder.encode("x")]);
const [mail, rcpt, data, header, endOfHeaders, body, endOfMessage] = MAIL;
const abort: Command = { kind: "abort" };

Deno.test("frames that arrive together leave in one write", async () => {
  const protocol = 0xff080 & ~SMFIP.NR_BODY;
  const peer = new Peer((letter) =>
    letter === "O" ? [{ ...ALL, protocol } as Reply] : "BE".includes(letter) ? undefined : "nothing"
  );
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  peer.writes.length = 0;
  // Nobody waits for an answer between them, so the server hands them over in one sweep.
  const out = new FrameWriter();
  const reader = new FrameReader();
  const bytes = new FrameWriter();
  for (const command of [mail, rcpt, data, header, header, endOfHeaders, body]) encodeCommand(command, bytes);
  reader.push(bytes.take().slice());
  let pending: Promise<void> | undefined;
  while (pending === undefined && reader.next()) pending = driver.session.receive(reader, out);
  await pending;
  assert.equal(peer.writes.length, 1);
  assert.equal(peer.seen[0], "OCHMRTLLNB");
  await driver.lost();
});

Deno.test("a milter that does not read is waited for, then given up; little is kept meanwhile", async () => {
  let reading = true;
  const peer = new Peer((letter) =>
    letter === "O" ? [{ ...ALL, protocol: 0xff080 } as Reply] : letter === "E" ? undefined : "nothing"
  );
  const { link } = upstreamOf(async () => {
    const connection = await peer.dial();
    const direct = connection.direct!;
    return {
      ...connection,
      direct: {
        read: direct.read,
        write: (bytes) => reading ? direct.write(bytes) : new Promise<number>(() => {}),
      },
    };
  });
  const driver = new Driver(link, 30);
  await driver.begin();
  await sayAll(driver, mail, rcpt, data, endOfHeaders);
  await settle();
  reading = false;
  const chunk = new Uint8Array(65_535);
  const out = new FrameWriter();
  let sent = 0;
  let pending: Promise<void> | undefined;
  for (; pending === undefined && sent < 20; sent++) {
    const frame = new FrameReader();
    const bytes = new FrameWriter();
    bytes.begin(0x42).raw(chunk).end();
    frame.push(bytes.take().slice());
    frame.next();
    pending = driver.session.receive(frame, out);
    await settle();
  }
  assert(pending !== undefined && sent <= 6, `${sent} chunks of 64 KiB were taken`);
  assert.equal(driver.session.expire(out, 30), undefined);
  await pending;
  assert.deepEqual(told(driver), ["timeout - tempfail"]);
  assert.deepEqual(await driver.say(endOfMessage), ["tempfail"]);
  assert.equal(link.connections, 0);
  await driver.lost();
});

Deno.test("a new SMTP connection on the same socket gets a milter connection of its own", async () => {
  const peer = new Peer();
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  await driver.mail();
  await sayAll(driver, mail, rcpt);
  await driver.say({ kind: "quitNewConnection" });
  assert.deepEqual(await driver.say(connectFrom("second")), ["continue"]);
  await driver.mail();
  // A second CONNECT without more ado is the same to a milter.
  assert.deepEqual(await driver.say(connectFrom("third")), ["continue"]);
  await driver.mail();
  assert.deepEqual(told(driver), []);
  await driver.lost();
  await settle();
  assert.deepEqual(peer.seen, ["OCHMRTLNBEMRAQ.", "OCMRTLNBEQ.", "OCMRTLNBEQ."]);
});

Deno.test("an MTA that goes away: a milter at work sees the end at once", async () => {
  const peer = new Peer((letter) => letter === "E" ? "nothing" : undefined);
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  const replies = driver.mail();
  await settle();
  await driver.lost();
  await replies;
  await settle();
  assert.deepEqual(peer.seen, ["OCHMRTLNBE."]);
  assert.equal(link.connections, 0);
  // Also one that has yet to negotiate, or to be reached.
  let connect: (() => void) | undefined;
  const slow = upstreamOf(() => new Promise((resolve) => connect = () => resolve(peer.dial())));
  const early = new Driver(slow.link);
  const offered = early.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
  await settle();
  await early.lost();
  connect!();
  await settle();
  assert.equal(slow.link.connections, 0);
  assert.equal(peer.seen.at(-1), ".");
  assert.deepEqual(await offered, []);
});

Deno.test("an order that libmilter would not answer fails the mail", async () => {
  const peer = new Peer();
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  // Content without a recipient, and recipients without a mail.
  assert.deepEqual(await sayAll(driver, mail, data), ["continue", "tempfail"]);
  assert.deepEqual(told(driver), ["protocol - tempfail"]);
  await driver.say(abort);
  assert.deepEqual(await sayAll(driver, rcpt, rcpt, data), ["tempfail", "tempfail", "tempfail"]);
  await driver.say(abort);
  assert.equal((await driver.mail()).at(-1), "continue");
  await driver.lost();
});

Deno.test("unloading ends all connections, and answers by policy from then on", async () => {
  const peer = new Peer((letter) => letter === "E" ? "nothing" : undefined);
  let aborted = false;
  const { link, events } = upstreamOf((_address, { signal }) => {
    signal.addEventListener("abort", () => aborted = true);
    return peer.dial();
  });
  const idle = new Driver(link);
  await idle.begin();
  const busy = new Driver(link);
  await busy.begin();
  const replies = busy.mail();
  await settle();
  await link.close();
  assert.equal((await replies).at(-1), "tempfail");
  assert(aborted);
  assert.deepEqual(told(busy), ["unavailable endOfMessage tempfail"]);
  assert.deepEqual(await idle.say(mail), ["tempfail"]);
  await Promise.all([idle.lost(), busy.lost()]);
  await settle();
  assert.equal(link.connections, 0);
  assert.deepEqual(events, []);
});
