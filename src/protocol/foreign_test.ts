import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, latin1, toHex } from "../../tests/property/wire.ts";
import { foreignProtocol } from "./foreign.ts";
import { FrameReader } from "./frame.ts";

/** First bytes of strangers, and who they are said to be. */
const STRANGERS: readonly (readonly [bytes: Uint8Array, who: RegExp])[] = [
  [latin1("GET / HTTP/1.1\r\nHost: mx\r\n\r\n"), /an HTTP client \(it sent "GET \//],
  [latin1("POST /x HTTP/1.1\r\n"), /an HTTP client/],
  [latin1("OPTIONS * HTTP/1.1\r\n"), /an HTTP client/],
  [latin1("CONNECT mx:25 HTTP/1.1\r\n"), /an HTTP client/],
  [latin1("DELETE /x HTTP/1.1\r\n"), /an HTTP client/],
  [latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /an HTTP client/],
  [latin1("HTTP/1.1 400 Bad Request\r\n"), /an HTTP server's answer/],
  [fromHex("16030100c8010000c40303"), /starts TLS/],
  [fromHex("1603 0302"), /starts TLS/],
  [latin1("EHLO client.example.org\r\n"), /an SMTP client \(it sent "EHLO client\.exa/],
  [latin1("ehlo client.example.org\r\n"), /an SMTP client/],
  [latin1("STARTTLS\r\n"), /an SMTP client/],
  [latin1("MAIL FROM:<a@example.org>\r\n"), /an SMTP client/],
  [latin1("220 mx.example.test ESMTP\r\n"), /an SMTP server's greeting/],
  [latin1("421-4.3.2 busy\r\n"), /an SMTP server's greeting/],
  [latin1("zPING\0"), /a clamd client \(it sent "zPIN/],
  [latin1("nVERSION\n"), /a clamd client/],
  [latin1("zINSTREAM\0"), /a clamd client/],
  [latin1("PING\n"), /a clamd client/],
  [latin1("UNKNOWN COMMAND\n"), /clamd's answer \(it sent "UNKN/],
  [latin1("stream: OK\0"), /clamd's answer/],
  [latin1("SSH-2.0-OpenSSH_9.2\r\n"), /an SSH client/],
  [latin1("*1\r\n$4\r\nPING\r\n"), /a Redis client/],
  [latin1("PROXY TCP4 192.0.2.7 192.0.2.1 40000 8891\r\n"), /the PROXY protocol/],
  [fromHex("0d0a0d0a000d0a515549540a 21 11 000c"), /the PROXY protocol version 2/],
  [fromHex("03000013 0ee000000000000100080003000000"), /RDP/],
  [latin1("hello there\n"), /sent the text "hello there\\n"/],
];

for (const [bytes, who] of STRANGERS) {
  test(`stranger ${JSON.stringify(String.fromCharCode(...bytes.subarray(0, 12)))} is named, at once and byte by byte`, () => {
    const refused = { name: "ProtocolError", code: "foreign", message: who };
    const whole = new FrameReader();
    whole.push(bytes);
    assert.throws(() => whole.next(), refused);

    // The name must not depend on how the network cuts: four bytes have to do.
    const drop = new FrameReader();
    const named = new RegExp(who.source.split(" \\(")[0].replace(/ version 2|"hello.*/, ""));
    assert.throws(() => {
      for (const byte of bytes) {
        drop.push(Uint8Array.of(byte));
        drop.next();
      }
    }, { ...refused, message: named });
  });
}

const NO_STRANGERS: readonly Uint8Array[] = [
  fromHex("0000000d 4f 00000006000001ff001fffff"),
  fromHex("00000000"),
  fromHex("ffffffff"),
  fromHex("00010000"),
  latin1("GE"),
  new Uint8Array(0),
];

for (const bytes of NO_STRANGERS) {
  test(`bytes ${toHex(bytes) || "(none)"} are nobody's`, () => {
    assert.equal(foreignProtocol(bytes), undefined);
  });
}

test("a stranger's bytes after good frames are a length over the limit", () => {
  const reader = new FrameReader();
  reader.push(latin1("\0\0\0\x01NGET / HTTP/1.1\r\n"));
  assert.equal(reader.next(), true);
  assert.throws(() => reader.next(), { name: "ProtocolError", code: "too-large", message: /1195725856/ });
});

test("what a stranger sent is shown escaped and short", () => {
  const said = foreignProtocol(latin1('GET /"\r\n\t\x1b[2J' + "x".repeat(500)));
  assert(said !== undefined && [..."\r\n\t\x1b"].every((control) => !said.includes(control)), said);
  assert(said.length < 200, said);
});
