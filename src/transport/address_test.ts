import assert from "node:assert/strict";
import { type Address, AddressError, formatAddress, longestUnixPath, parseAddress } from "./address.ts";
import { postfixSpelling, sendmailSpelling } from "./mta_spelling.ts";

const right: ReadonlyArray<readonly [text: string, address: Address, canonical: string]> = [
  ["inet:8891@127.0.0.1", inet(4, "127.0.0.1", 8891), "inet:8891@127.0.0.1"],
  ["inet:8891@[127.0.0.1]", inet(4, "127.0.0.1", 8891), "inet:8891@127.0.0.1"],
  ["inet:8891@localhost", inet(4, "localhost", 8891), "inet:8891@localhost"],
  [
    "inet:8891@milter-1.example.org.",
    inet(4, "milter-1.example.org.", 8891),
    "inet:8891@milter-1.example.org.",
  ],
  ["inet:8891@my_milter", inet(4, "my_milter", 8891), "inet:8891@my_milter"],
  ["inet:8891", inet(4, "0.0.0.0", 8891), "inet:8891@0.0.0.0"],
  ["inet:0@127.0.0.1", inet(4, "127.0.0.1", 0), "inet:0@127.0.0.1"],
  ["inet:65535@127.0.0.1", inet(4, "127.0.0.1", 65535), "inet:65535@127.0.0.1"],
  ["INET:25@127.0.0.1", inet(4, "127.0.0.1", 25), "inet:25@127.0.0.1"],
  ["inet6:8891", inet(6, "::", 8891), "inet6:8891@[::]"],
  ["inet6:8891@::1", inet(6, "::1", 8891), "inet6:8891@[::1]"],
  ["inet6:8891@[::1]", inet(6, "::1", 8891), "inet6:8891@[::1]"],
  ["inet6:8891@[2001:DB8:0:0:0:0:0:7]", inet(6, "2001:db8::7", 8891), "inet6:8891@[2001:db8::7]"],
  ["inet6:8891@localhost", inet(6, "localhost", 8891), "inet6:8891@localhost"],
  ["unix:/run/m.sock", unix("/run/m.sock"), "unix:/run/m.sock"],
  ["local:/run/m.sock", unix("/run/m.sock"), "unix:/run/m.sock"],
  ["Unix:/run/with space:and@signs", unix("/run/with space:and@signs"), "unix:/run/with space:and@signs"],
  [`unix:/${"x".repeat(longestUnixPath - 1)}`, unix(`/${"x".repeat(106)}`), `unix:/${"x".repeat(106)}`],
];

for (const [text, address, canonical] of right) {
  Deno.test(`parseAddress() reads ${text.slice(0, 60)}`, () => {
    assert.deepEqual(parseAddress(text), address);
    assert.equal(formatAddress(address), canonical);
    assert.deepEqual(parseAddress(canonical), address);
  });
}

const wrong: ReadonlyArray<readonly [text: string, suggestion: string | undefined, reason: RegExp]> = [
  // What other programs take.
  ["tcp:127.0.0.1:8891", "inet:8891@127.0.0.1", /not "tcp:"/],
  ["tcp://127.0.0.1:8891", "inet:8891@127.0.0.1", /not "tcp:"/],
  ["tcp://127.0.0.1:8891/", "inet:8891@127.0.0.1", /not "tcp:"/],
  ["tcp:localhost:8891", "inet:8891@localhost", /not "tcp:"/],
  ["tcp:[::1]:8891", "inet6:8891@[::1]", /not "tcp:"/],
  ["tcp6:[::1]:8891", "inet6:8891@[::1]", /not "tcp6:"/],
  ["tcp6:localhost:8891", "inet6:8891@localhost", /not "tcp6:"/],
  ["tcp:8891@127.0.0.1", "inet:8891@127.0.0.1", /not "tcp:"/],
  ["tcp:8891@::1", "inet6:8891@::1", /not "tcp:"/],
  ["tcp:8891", "inet:8891", /not "tcp:"/],
  ["TCP:*:8891", "inet:8891", /not "tcp:"/],
  ["tcp:somewhere", undefined, /not "tcp:".*expected inet:8891@127/],
  ["inet4:8891@127.0.0.1", "inet:8891@127.0.0.1", /not "inet4:"/],
  ["inet:127.0.0.1:8891", "inet:8891@127.0.0.1", /order of Postfix/],
  ["inet:localhost:8891", "inet:8891@localhost", /order of Postfix/],
  ["inet:[::1]:8891", "inet6:8891@[::1]", /order of Postfix/],
  ["inet6:[::1]:8891", "inet6:8891@[::1]", /order of Postfix/],
  ["inet6:localhost:8891", "inet6:8891@localhost", /order of Postfix/],
  ["inet6:127.0.0.1:8891", "inet:8891@127.0.0.1", /order of Postfix/],
  ["inet:*:8891", "inet:8891", /order of Postfix/],
  ["inet:127.0.0.1@8891", "inet:8891@127.0.0.1", /before "@"/],
  ["inet://127.0.0.1:8891", "inet:8891@127.0.0.1", /Postfix/],
  ["inet://8891@127.0.0.1", "inet:8891@127.0.0.1", /"\/\/"/],
  ["inet:8891@*", "inet:8891", /leaving the host out/],
  ["inet::8891", "inet:8891", /colon too many/],
  ["127.0.0.1:8891", "inet:8891@127.0.0.1", /need their kind/],
  ["localhost:8891", "inet:8891@localhost", /need their kind/],
  ["milter.example.org:8891", "inet:8891@milter.example.org", /need their kind/],
  ["[::1]:8891", "inet6:8891@[::1]", /need their kind/],
  ["*:8891", "inet:8891", /leaving the host out/],
  ["8891", "inet:8891@127.0.0.1", /needs its kind/],
  ["/run/m.sock", "unix:/run/m.sock", /"unix:" in front/],
  ["unix:///run/m.sock", "unix:/run/m.sock", /"\/\/"/],
  ["unix://run/m.sock", "unix:/run/m.sock", /"\/\/"/],
  ["local:///run/m.sock", "local:/run/m.sock", /"\/\/"/],
  ["file:///run/m.sock", "unix:/run/m.sock", /"file:"/],
  [" inet:8891@127.0.0.1", "inet:8891@127.0.0.1", /spaces around/],
  ["inet:8891@127.0.0.1\n", "inet:8891@127.0.0.1", /spaces around/],
  ["https://127.0.0.1:8891", undefined, /another protocol/],
  ["fd:3", undefined, /inherited sockets have no address/],
  // The wrong family.
  ["inet:8891@::1", "inet6:8891@[::1]", /is an IPv6 address/],
  ["inet:8891@[::1]", "inet6:8891@[::1]", /is an IPv6 address/],
  ["inet6:8891@127.0.0.1", "inet:8891@127.0.0.1", /is an IPv4 address/],
  // Ports.
  ["inet:65536@127.0.0.1", undefined, /"65536" is out of range; expected 0 to 65535/],
  ["inet:99999999999999999999@127.0.0.1", undefined, /out of range/],
  ["inet:-1@127.0.0.1", undefined, /"-1" is not a number/],
  ["inet:0x10@127.0.0.1", undefined, /"0x10" is not a number/],
  ["inet:milter@127.0.0.1", undefined, /names of services are not looked up/],
  ["inet:@127.0.0.1", undefined, /port is missing/],
  ["inet:", undefined, /port is missing/],
  ["tcp:127.0.0.1:99999", undefined, /not "tcp:"/],
  // Hosts.
  ["inet:8891@", undefined, /host after "@" is missing/],
  ["inet:8891@[]", undefined, /host after "@" is missing/],
  ["inet:8891@127.0.0.256", undefined, /not an IPv4 address/],
  ["inet:8891@127.1", undefined, /not an IPv4 address/],
  ["inet:8891@127.0.0.01", undefined, /not an IPv4 address/],
  ["inet6:8891@1::2::3", undefined, /not an IPv6 address/],
  ["inet6:8891@fe80::1%eth0", undefined, /not an IPv6 address/],
  ["inet:8891@a b", undefined, /not a host name/],
  ["inet:8891@[localhost]", undefined, /not a host name/],
  ["inet:8891@-x", undefined, /not a host name/],
  ["inet:8891@a..b", undefined, /not a host name/],
  ["inet:8891@a@b", undefined, /not a host name/],
  [`inet:8891@${"a".repeat(254)}`, undefined, /not a host name/],
  // Paths.
  ["unix:run/m.sock", undefined, /path is relative.*unix:\/run\/run/],
  ["unix:./m.sock", undefined, /path is relative/],
  ["./m.sock", undefined, /whole path/],
  ["unix:", undefined, /path is missing/],
  ["unix:@abstract", undefined, /without a file/],
  ["unix:/run/", undefined, /names a directory/],
  ["unix:/run/m\0.sock", undefined, /control characters/],
  [`unix:/${"x".repeat(longestUnixPath)}`, undefined, /has 108 bytes, the system takes 107/],
  [`unix:/${"é".repeat(54)}`, undefined, /has 109 bytes/],
  // Nothing like an address.
  ["", undefined, /it is empty/],
  ["   ", undefined, /it is empty/],
  ["milter", undefined, /does not start with/],
  [":8891", undefined, /does not start with/],
];

for (const [text, suggestion, reason] of wrong) {
  Deno.test(`parseAddress() refuses ${JSON.stringify(text).slice(0, 60)}`, () => {
    const error = thrown(text);
    assert.match(error.message, reason);
    assert.ok(error.message.startsWith('Cannot read the socket address "'), error.message);
    assert.equal(error.suggestion, suggestion);
    if (suggestion !== undefined) {
      assert.ok(error.message.includes(`; write ${suggestion}`), error.message);
      parseAddress(suggestion);
    }
  });
}

Deno.test("parseAddress() quotes no more than a line of what it was given", () => {
  assert.ok(thrown("x".repeat(1_000_000)).message.length < 500);
  assert.ok(thrown(`inet:8891@${"x".repeat(1_000_000)}`).message.length < 700);
  assert.ok(thrown(`tcp:${"x".repeat(1_000_000)}:25`).message.length < 700);
});

const spellings: ReadonlyArray<readonly [address: string, postfix: string, sendmail: string]> = [
  ["inet:8891@127.0.0.1", "inet:127.0.0.1:8891", "inet:8891@127.0.0.1"],
  ["inet:8891@milter.example", "inet:milter.example:8891", "inet:8891@milter.example"],
  ["inet6:8891@::1", "inet:[::1]:8891", "inet6:8891@[::1]"],
  ["inet:8891", "inet:127.0.0.1:8891", "inet:8891@127.0.0.1"],
  ["inet6:8891", "inet:[::1]:8891", "inet6:8891@[::1]"],
  ["unix:/run/m.sock", "unix:/run/m.sock", "unix:/run/m.sock"],
  ["unix:/var/spool/postfix/m/s", "unix:m/s", "unix:/var/spool/postfix/m/s"],
  ["unix:/var/spool/postfix-2/s", "unix:/var/spool/postfix-2/s", "unix:/var/spool/postfix-2/s"],
];

for (const [text, postfix, sendmail] of spellings) {
  Deno.test(`postfixSpelling() and sendmailSpelling() write ${text}`, () => {
    assert.equal(postfixSpelling(parseAddress(text)), postfix);
    assert.equal(sendmailSpelling(parseAddress(text)), sendmail);
  });
}

Deno.test("postfixSpelling() takes another queue directory", () => {
  const address = parseAddress("unix:/srv/queue/m/s");
  assert.equal(postfixSpelling(address, { queueDirectory: "/srv/queue" }), "unix:m/s");
  assert.equal(postfixSpelling(address, { queueDirectory: "/srv/queue/" }), "unix:m/s");
});

function inet(family: 4 | 6, host: string, port: number): Address {
  return { kind: "inet", family, host, port };
}

function unix(path: string): Address {
  return { kind: "unix", path };
}

function thrown(text: string): AddressError {
  try {
    parseAddress(text);
  } catch (error) {
    assert.ok(error instanceof AddressError, String(error));
    return error;
  }
  assert.fail(`${JSON.stringify(text)} was taken`);
}
