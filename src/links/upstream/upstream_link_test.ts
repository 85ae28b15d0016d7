// Upstream milters over time: they die, are out of reach, hang, come back, talk nonsense. Each milter here is played.
import assert from "node:assert/strict";
import { connectFrom, Driver, mailCommands } from "../../../tests/redteam/driver.ts";
import { ALL, Peer } from "../../../tests/upstream/peer.ts";
import { sayAll, settle, told, upstreamOf } from "../../../tests/upstream/upstreams.ts";
import { type Command, type Reply, SMFIP } from "../../protocol/mod.ts";
import { type Outcome, uniformPolicy } from "../../session/policy.ts";
import { TransportError } from "../../transport/errors.ts";

const encoder = new TextEncoder();
const MAIL = mailCommands("a@client.example", [encoder.encode("x")]);
const [mail, rcpt, data] = MAIL;
const abort: Command = { kind: "abort" };

function macros(stage: string, name: string, value: string): Command {
  return {
    kind: "macros",
    stage: stage.charCodeAt(0),
    pairs: [[encoder.encode(name), encoder.encode(value)]],
  };
}

Deno.test("one connection for all mails of an MTA connection, and a goodbye", async () => {
  const peer = new Peer();
  const { link, events } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  assert.deepEqual(await driver.begin(), ["negotiate 6 511 0 [0]", "continue", "continue"]);
  await driver.mail();
  await driver.say(abort);
  await driver.mail();
  await sayAll(driver, mail, rcpt);
  await driver.say({ kind: "quit" });
  assert.equal(link.connections, 1);
  await driver.lost();
  await settle();
  assert.deepEqual(peer.seen, ["OCHMRTLNBEMRTLNBEMRAQ."]);
  assert.equal(link.connections, 0);
  assert.deepEqual(events, []);
});

for (const outcome of ["tempfail", "accept", "reject"] as const satisfies readonly Outcome[]) {
  Deno.test(`a milter that dies at any stage of a mail costs this mail its ${outcome}, and the next one works`, async () => {
    for (const [stage, command] of MAIL.entries()) {
      for (const how of ["before", "while it is asked"]) {
        const letter = "MRTLNBE"[stage];
        const peer = new Peer((got, nth) =>
          nth === 0 && got === letter && how !== "before" ? "close" : undefined
        );
        const { link, events } = upstreamOf(peer.dial, { policy: uniformPolicy(outcome) });
        const driver = new Driver(link);
        await driver.begin();
        for (const before of MAIL.slice(0, stage)) assert.deepEqual(await driver.say(before), ["continue"]);
        if (how === "before") {
          peer.drop();
          await settle();
        }
        const label = `${how} ${command.kind}`;
        const wanted = stage === 0 && how === "before"
          ? "continue"
          : outcome === "accept" && letter === "E"
          ? "continue"
          : outcome;
        assert.deepEqual(await driver.say(command), [wanted], label);
        const idle = stage === 0 && how === "before";
        assert.deepEqual(
          driver.notes.failures.map(({ kind, outcome }) => [kind, outcome]),
          idle ? [] : [["crash", outcome]],
          label,
        );
        // The rest of the mail is answered, and never with less than the policy demands.
        if (!idle && (letter === "R" || letter === "T") && outcome !== "accept") {
          assert.deepEqual(await sayAll(driver, rcpt, data), [outcome, outcome], label);
        }
        await driver.say(abort);
        assert.equal((await driver.mail()).at(-1), "continue", label);
        await driver.lost();
        await settle();
        // A mail that has begun goes nowhere else.
        assert.equal(peer.seen[1], idle ? "OCHMAMRTLNBEQ." : "OCHMRTLNBEQ.", label);
        assert.equal(peer.seen.length, 2);
        assert.equal(link.connections, 0);
        assert.deepEqual(events, [], "the milter can be reached");
      }
    }
  });
}

Deno.test("a new connection is told of macros, CONNECT and HELO, one question at a time", async () => {
  const order: string[] = [];
  const peer = new Peer();
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.say({ kind: "negotiate", version: 6, actions: 0x1ff, protocol: 0x1fffff });
  await sayAll(driver, macros("C", "j", "mx"), connectFrom("client"), macros("H", "{tls_version}", "3"), {
    kind: "helo",
    name: encoder.encode("helo"),
  });
  peer.drop();
  await settle();
  peer.play((letter) => {
    order.push(letter);
    return undefined;
  });
  peer.writes.length = 0;
  await sayAll(driver, macros("M", "i", "Q1"), mail);
  assert.equal(order.join(""), "ODCDHDM");
  assert.equal(peer.writes.length, 4, "each question waits for its answer");
  await driver.lost();
});

Deno.test("a verdict of the replayed CONNECT holds for the mail that is waited for", async () => {
  const peer = new Peer((letter, nth) => nth === 1 && letter === "C" ? [{ kind: "reject" }] : undefined);
  const { link } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  peer.drop();
  await settle();
  assert.deepEqual(await driver.say(mail), ["reject"]);
  assert.deepEqual(told(driver), []);
  await driver.lost();
});

Deno.test("a milter that negotiates otherwise when it is back is of no use for this connection", async () => {
  const peer = new Peer((letter, nth) =>
    nth === 1 && letter === "O" ? [{ ...ALL, protocol: SMFIP.NOBODY } as Reply] : undefined
  );
  const { link, events } = upstreamOf(peer.dial);
  const driver = new Driver(link);
  await driver.begin();
  peer.drop();
  await settle();
  assert.deepEqual(await driver.say(mail), ["tempfail"]);
  assert.deepEqual(told(driver), ["protocol mail tempfail"]);
  assert.match(driver.notes.failures[0].message, /inet:8892@127\.0\.0\.1.*negotiates otherwise/);
  const other = new Driver(link);
  await other.begin();
  assert.equal((await other.mail()).at(-1), "continue");
  await Promise.all([driver.lost(), other.lost()]);
  assert.deepEqual(events, []);
});

Deno.test("a milter out of reach is held back with growing pauses, and told of once", async () => {
  let now = 0;
  let up = false;
  let dials = 0;
  const peer = new Peer();
  const { link, events } = upstreamOf(() => {
    dials++;
    if (up) return peer.dial();
    return Promise.reject(new TransportError("refused", "Cannot connect to inet:8892@127.0.0.1: refused"));
  }, { now: () => now });
  const refused = async (count: number) => {
    const before = dials;
    const driver = new Driver(link);
    const replies = await driver.begin();
    // Without a milter the MTA is asked for MAIL alone, and that the policy answers.
    assert.match(replies[0], /^negotiate 6 0 /);
    assert.deepEqual(await driver.say(mail), ["tempfail"]);
    assert.deepEqual(told(driver), ["unavailable mail tempfail"]);
    assert.match(driver.notes.failures[0].message, /Cannot connect to inet:8892/);
    assert.equal(dials - before, count, `at ${now} ms`);
    // Also a mail that comes without MAIL, as one after a refusal of Postfix's own may.
    assert.deepEqual(await sayAll(driver, abort, rcpt, rcpt, data), ["tempfail", "tempfail", "tempfail"]);
    await driver.lost();
  };
  // The first failure is followed by an attempt at once, then come pauses.
  await refused(1);
  await refused(1);
  for (const pause of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    await refused(0);
    now += pause - 1;
    await refused(0);
    now += 1;
    await refused(1);
  }
  const loud = (): string[] =>
    events.filter(({ level }) => level !== "debug").map(({ level, message }) => `${level} ${message}`);
  assert.equal(loud().length, 1);
  assert.match(
    loud()[0],
    /^error Upstream milter "f" at inet:8892@127\.0\.0\.1 cannot be reached \(unavailable\): .*refused.*tempfail$/,
  );
  up = true;
  await refused(0);
  now += 60_000;
  const driver = new Driver(link);
  await driver.begin();
  assert.equal((await driver.mail()).at(-1), "continue");
  assert.equal(loud().length, 2);
  assert.match(loud()[1], /^info .* answers again$/);
  // The next failure is a first one.
  up = false;
  peer.drop();
  await settle();
  await driver.say(mail);
  await refused(1);
  await refused(0);
  assert.equal(loud().length, 3);
  await driver.lost();
});

Deno.test("a hundred attempts that fail together are one failure, and one finds out whether it is over", async () => {
  let now = 0;
  const waiting: ((error?: Error) => void)[] = [];
  const peer = new Peer();
  const { link } = upstreamOf(
    () =>
      new Promise((resolve, reject) => waiting.push((error) => error ? reject(error) : resolve(peer.dial()))),
    { now: () => now },
  );
  const down = new Error("down");
  const start = () => {
    const driver = new Driver(link);
    return { driver, begun: driver.begin() };
  };
  const first = Array.from({ length: 100 }, start);
  await settle();
  assert.equal(waiting.length, 100);
  for (const end of waiting.splice(0)) end(down);
  await Promise.all(first.map(({ begun }) => begun));
  // Not yet held back: that was one failure.
  const second = start();
  await settle();
  waiting.splice(0).forEach((end) => end(down));
  await second.begun;
  now += 1000;
  const probe = start();
  await settle();
  assert.equal(waiting.length, 1);
  const others = Array.from({ length: 10 }, start);
  await Promise.all(others.map(({ begun }) => begun));
  assert.equal(waiting.length, 1, "while one tries, the others do not");
  waiting.splice(0).forEach((end) => end());
  assert.match((await probe.begun)[0], /^negotiate 6 511 /);
  const last = start();
  await settle();
  waiting.splice(0).forEach((end) => end());
  assert.match((await last.begun)[0], /^negotiate 6 511 /);
  for (const { driver } of [...first, second, probe, ...others, last]) await driver.lost();
});

Deno.test("a late answer ends the connection; its mail fails, the next one goes through another", async () => {
  for (const at of ["M", "R", "B", "E"]) {
    const peer = new Peer((letter, nth) => nth === 0 && letter === at ? "nothing" : undefined);
    const { link, events } = upstreamOf(peer.dial);
    const driver = new Driver(link, 40);
    await driver.begin();
    const replies = await driver.mail();
    assert.equal(replies.filter((word) => word === "tempfail").length > 0, true, at);
    assert.equal(driver.notes.failures[0].kind, "timeout", at);
    await settle();
    assert(peer.seen[0].endsWith(`${at}.`), `${at}: ${peer.seen[0]}`);
    await driver.say(abort);
    assert.equal((await driver.mail()).at(-1), "continue", at);
    await driver.lost();
    assert.deepEqual(events, [], "it can be reached");
  }
});

Deno.test("a milter that does not even negotiate counts as out of reach", async () => {
  let now = 0;
  const peer = new Peer(() => "nothing");
  const { link, events } = upstreamOf(peer.dial, { now: () => now });
  for (let i = 0; i < 3; i++) {
    const driver = new Driver(link, 20);
    assert.match((await driver.begin())[0], /^negotiate 6 0 /);
    await driver.say(mail);
    assert.equal(driver.notes.failures[0].kind, i < 2 ? "timeout" : "unavailable");
    await driver.lost();
  }
  assert.equal(peer.seen.length, 2);
  assert.match(events[0].message, /cannot be reached \(timeout\): .* is a milter listening there\?/);
  peer.play(() => undefined);
  now += 1000;
  const driver = new Driver(link);
  await driver.begin();
  assert.equal((await driver.mail()).at(-1), "continue");
  await driver.lost();
  assert.equal(link.connections, 0);
});

Deno.test("a milter that closes instead of negotiating is tried again each time", async () => {
  const peer = new Peer(() => "close");
  const { link, events } = upstreamOf(peer.dial);
  for (let i = 0; i < 4; i++) {
    const driver = new Driver(link);
    await driver.begin();
    await driver.say(mail);
    assert.deepEqual(told(driver), ["unavailable mail tempfail"]);
    assert.match(driver.notes.failures[0].message, /closed the connection.*more than the MTA offers/);
    await driver.lost();
  }
  assert.equal(peer.seen.length, 4);
  // It may be about one MTA's offer, so it says nothing of others.
  assert.deepEqual(events, []);
});
