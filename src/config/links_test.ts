// Upstream milters, and what every entry of `filters:` may say.
import assert from "node:assert/strict";
import { conditionText } from "../conditions/mod.ts";
import { uniformPolicy } from "../session/policy.ts";
import { ConfigError } from "./error.ts";
import { parseConfig } from "./parse.ts";
import type { LinkConfig } from "./schema.ts";

/** The links of a configuration, by the text below `filters:`. */
function links(filters: string, more = ""): readonly LinkConfig[] {
  return parseConfig(`listen: [unix:/m.sock, inet:8891@127.0.0.1]\n${more}filters:\n${filters}`, {
    file: "m.yaml",
  })
    .filters;
}

/** What is said about the text below `filters:`, whose first line is the third. */
function issues(filters: string, more = ""): string[] {
  try {
    links(filters, more);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message.split("\n").map((line) => line.replace(/^m\.yaml:/, ""));
  }
  return [];
}

Deno.test("parseConfig() reads upstream milters, with all defaults", () => {
  const usual = {
    kind: "upstream",
    timeout: 10_000,
    connectTimeout: 5000,
    onFailure: { ...uniformPolicy("tempfail") },
    when: undefined,
    mode: "enforce",
    canary: 1,
  };
  const text = `
- upstream: inet:8892@127.0.0.1
- upstream: inet6:8893@[::1]
- upstream: unix:/run/opendkim/opendkim.sock
- upstream: local:/run/@odd name
- upstream: inet:11332@rspamd.example
  name: spam
  timeout: 30s
  connect_timeout: 500ms
  on_failure: { unavailable: accept }
  mode: shadow
  canary: 12.5%
`;
  assert.deepEqual(links(text), [
    {
      ...usual,
      upstream: { kind: "inet", family: 4, host: "127.0.0.1", port: 8892 },
      name: "127.0.0.1_8892",
    },
    { ...usual, upstream: { kind: "inet", family: 6, host: "::1", port: 8893 }, name: "1_8893" },
    { ...usual, upstream: { kind: "unix", path: "/run/opendkim/opendkim.sock" }, name: "opendkim.sock" },
    { ...usual, upstream: { kind: "unix", path: "/run/@odd name" }, name: "odd_name" },
    {
      ...usual,
      upstream: { kind: "inet", family: 4, host: "rspamd.example", port: 11332 },
      name: "spam",
      timeout: 30_000,
      connectTimeout: 500,
      onFailure: { ...uniformPolicy("tempfail"), unavailable: "accept" },
      mode: "shadow",
      canary: 0.125,
    },
  ]);
  const [link] = links("- upstream: unix:/a", "defaults: { timeout: 3s, on_failure: accept }\n");
  assert.deepEqual([link.timeout, link.onFailure], [3000, { ...uniformPolicy("accept") }]);
});

Deno.test("parseConfig() keeps filters and upstream milters in their order", () => {
  const kinds = links("- use: ./a.ts\n- upstream: unix:/b\n- use: bundled:rules\n").map((
    { kind, name },
  ) => [kind, name]);
  assert.deepEqual(kinds, [["filter", "a"], ["upstream", "b"], ["filter", "rules"]]);
});

/** One entry, and what is said about it. */
const MISTAKES: readonly (readonly [entry: string, ...said: string[]])[] = [
  // Which kind it is
  [
    "{ use: ./a.ts, upstream: unix:/b }",
    "3:18: filters[0].upstream: stands beside use: an entry is one of the two; make two entries of it",
  ],
  [
    "{ use: 7, upstream: unix:/b, memory: 1 }",
    "3:13: filters[0].upstream: stands beside use: an entry is one of the two; make two entries of it",
  ],
  [
    "{ name: x }",
    "3:3: filters[0]: neither use nor upstream: write use: and a filter module, or upstream: and the address of a running milter",
  ],
  [
    "{ upstrem: unix:/b, whn: {} }",
    "3:3: filters[0]: neither use nor upstream: write use: and a filter module, or upstream: and the address of a running milter",
    '3:5: filters[0]: unknown key "upstrem"; did you mean upstream?',
    '3:23: filters[0]: unknown key "whn"; did you mean when?',
  ],
  ["./a.ts", '3:3: filters[0]: "./a.ts" found, expected a map'],
  ["", "3:1: filters[0]: nothing found, expected a map"],
  ["[]", "3:3: filters[0]: a list found, expected a map"],
  // Keys of the other kind
  ...[
    "permissions: { net: [a.example] }",
    "memory: 64MiB",
    "options: {}",
    "isolation: none",
    "instances: 2",
    "start_timeout: 5s",
  ]
    .map((key) =>
      [
        `{ upstream: unix:/b, ${key} }`,
        `3:24: filters[0].${
          key.split(":")[0]
        }: is for filters: an upstream milter runs by itself, with rights, memory and ` +
        "options of its own; leave it out",
      ] as const
    ),
  [
    "{ use: ./a.ts, connect_timeout: 5s }",
    "3:18: filters[0].connect_timeout: is for upstream milters, and this is a filter; leave it out",
  ],
  ["{ upstream: unix:/b, timout: 5s }", '3:24: filters[0]: unknown key "timout"; did you mean timeout?'],
  [
    "{ upstream: unix:/b, zebra: 5s }",
    '3:24: filters[0]: unknown key "zebra"; allowed here: upstream, name, timeout, connect_timeout, when, mode, canary, on_failure',
  ],
  [
    "{ use: ./a.ts, zebra: 5s }",
    '3:18: filters[0]: unknown key "zebra"; allowed here: use, name, options, permissions, isolation, memory, instances, timeout, ' +
    "start_timeout, when, mode, canary, on_failure",
  ],
  // Addresses
  [
    "{ upstream: 8892 }",
    '3:15: filters[0].upstream: 8892 is not the address of a milter: a port needs its kind and host; write "inet:8892@127.0.0.1"',
  ],
  [
    "{ upstream: { inet: 8892@127.0.0.1 } }",
    '3:15: filters[0].upstream: found a map: an address has no blank after its colon; write "inet:8892@127.0.0.1"',
  ],
  [
    "{ upstream: }",
    '3:5: filters[0].upstream: nothing is not the address of a milter: write "inet:PORT@HOST" or "unix:/PATH"',
  ],
  [
    "{ upstream: tcp:127.0.0.1:8892 }",
    '3:15: filters[0].upstream: Cannot read the socket address "tcp:127.0.0.1:8892": TCP sockets are written "inet:" or "inet6:", ' +
    'not "tcp:"; write inet:8892@127.0.0.1',
  ],
  [
    "{ upstream: inet:8892 }",
    "3:15: filters[0].upstream: Cannot connect to inet:8892@0.0.0.0: that is all addresses of a machine, for listening only; " +
    "write inet:8892@127.0.0.1",
  ],
  [
    "{ upstream: inet:0@127.0.0.1 }",
    "3:15: filters[0].upstream: Cannot connect to inet:0@127.0.0.1: port 0 is only for listening",
  ],
  [
    "{ upstream: inet:8891@127.0.0.1 }",
    "3:5: filters[0].upstream: is where this program listens itself: mail would go round in circles",
  ],
  [
    "{ upstream: inet:8891@localhost }",
    "3:5: filters[0].upstream: is where this program listens itself: mail would go round in circles",
  ],
  [
    "{ upstream: unix:/m.sock }",
    "3:5: filters[0].upstream: is where this program listens itself: mail would go round in circles",
  ],
  ["{ upstream: inet:8891@192.0.2.1 }"],
  // Times
  [
    "{ upstream: unix:/b, connect_timeout: 5 }",
    "3:41: filters[0].connect_timeout: 5 is not a duration: write a number and ms, s, m or h; did you mean 5s?",
  ],
  [
    "{ upstream: unix:/b, connect_timeout: 1h }",
    "3:41: filters[0].connect_timeout: out of bounds: allowed are 1ms to 5m",
  ],
  [
    "{ upstream: unix:/b, on_failure: { crash: ignore } }",
    '3:45: filters[0].on_failure.crash: "ignore" is not one of tempfail, accept, reject',
  ],
  // What every entry may say
  [
    "{ use: ./a.ts, mode: shadw }",
    '3:24: filters[0].mode: "shadw" is not one of enforce, shadow; did you mean shadow?',
  ],
  [
    "{ upstream: unix:/b, canary: 10 }",
    "3:32: filters[0].canary: 10 is not a share of mails: write a percentage such as 10%",
  ],
  [
    "{ use: ./a.ts, canary: 10 % }",
    '3:26: filters[0].canary: "10 %" is not a share of mails: write a percentage such as 10%',
  ],
  ["{ use: ./a.ts, canary: 0.05% }", "3:26: filters[0].canary: out of bounds: allowed are 0.1% to 100%"],
  ["{ use: ./a.ts, canary: 100.1% }", "3:26: filters[0].canary: out of bounds: allowed are 0.1% to 100%"],
  [
    "{ use: ./a.ts, name: a b }",
    '3:24: filters[0].name: "a b" is not a filter name: letters, digits and . _ -, at most 64',
  ],
  // Conditions
  [
    "{ use: ./a.ts, when: }",
    "3:18: filters[0].when: is empty, expected a map with the keys client, client_host, daemon, helo, tls, authenticated, sender, " +
    "sender_domain, recipient, recipient_domain, macro, header, header_missing, size, all, any, not",
  ],
  [
    "{ use: ./a.ts, when: {} }",
    "3:24: filters[0].when: is empty, expected a condition; leave it out to match all mail",
  ],
  [
    "{ upstream: unix:/b, when: { clint: 192.0.2.1 } }",
    '3:32: filters[0].when: unknown key "clint"; did you mean client?',
  ],
  [
    "{ use: ./a.ts, when: { not: { any: [{ tls: true }, { from: a@x }] } } }",
    '3:56: filters[0].when.not.any[1]: unknown key "from"; allowed here: client, client_host, daemon, helo, tls, authenticated, sender, sender_domain, recipient, recipient_domain, macro, header, header_missing, size, all, any, not',
  ],
  [
    "{ use: ./a.ts, when: { size: { ovr: 1 } } }",
    '3:34: filters[0].when.size: unknown key "ovr"; did you mean over?',
  ],
  [
    "{ use: ./a.ts, when: { client: 10.0.0.1/8 } }",
    '3:34: filters[0].when.client: "10.0.0.1/8" has bits set after the first 8; write 10.0.0.0/8',
  ],
  [
    "{ use: ./a.ts, when: { client: [::1, x] } }",
    '3:40: filters[0].when.client[1]: "x" expected an IP address or network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
  ],
  [
    "{ upstream: unix:/b, when: { all: [{ authenticated: 1 }] } }",
    "3:55: filters[0].when.all[0].authenticated: is 1, expected true or false",
  ],
  [
    "{ use: ./a.ts, when: { macro: { '{rcpt_addr}': a } } }",
    '3:50: filters[0].when.macro.{rcpt_addr}: "{rcpt_addr}" is another one for each recipient; use recipient or recipient_domain',
  ],
];

for (const [entry, ...said] of MISTAKES) {
  Deno.test(`an entry of filters: ${entry}`, () => assert.deepEqual(issues(`- ${entry}`), said));
}

Deno.test("parseConfig() reports mistakes of all entries, each in the words for its kind", () => {
  const text = "- { use: footer, canary: 0% }\n- {}\n- { upstream: 1, when: { tls: 1 } }\n";
  assert.deepEqual(issues(text).map((issue) => /^\d+:\d+: [^:]+/.exec(issue)![0]), [
    "3:10: filters[0].use",
    "3:26: filters[0].canary",
    "4:3: filters[1]",
    "5:15: filters[2].upstream",
    "5:31: filters[2].when.tls",
  ]);
});

Deno.test("parseConfig() tells links apart by name, whatever they are", () => {
  assert.deepEqual(issues("- use: ./a.sock.ts\n- upstream: unix:/run/a.sock\n"), [
    '4:3: filters[1]: the name "a.sock" is taken by filters[0]; give this one a name: of its own',
  ]);
});

Deno.test("parseConfig() sees an upstream milter that is this program on all addresses", () => {
  const said = (listen: string, upstream: string): string => {
    try {
      parseConfig(`listen: ${listen}\nfilters: [{ upstream: "${upstream}" }]\n`, { file: "m.yaml" });
      return "";
    } catch (error) {
      return (error as Error).message.replace(/^.*: is /, "is ");
    }
  };
  const circle = "is where this program listens itself: mail would go round in circles";
  const rows: readonly (readonly [listen: string, upstream: string, said: string])[] = [
    ["inet:25", "inet:25@127.0.0.2", circle],
    ["inet6:25", "inet6:25@[::1]", circle],
    ["inet:25", "inet:25@LOCALHOST", circle],
    ["inet:25", "inet:26@127.0.0.1", ""],
    ["inet:25", "inet:25@192.0.2.1", ""],
    ["inet:25@127.0.0.1", "inet:25@127.0.0.2", ""],
    ["unix:/a", "unix:/b", ""],
  ];
  for (const [listen, upstream, expected] of rows) {
    assert.equal(said(listen, upstream), expected, `${listen} ${upstream}`);
  }
});

Deno.test("parseConfig() refuses a control socket where mail servers connect", () => {
  assert.deepEqual(issues("- use: ./a.ts", "control: unix:/m.sock\n"), [
    "2:1: control: is one of the addresses where mail servers connect; choose another file",
  ]);
});

Deno.test("parseConfig() gives conditions, in block style as in flow style", () => {
  const [filter, upstream, none] = links(`
- use: ./a.ts
  when:
    client: [127.0.0.0/8, "::1"]
    not: { authenticated: true }
- upstream: unix:/b
  when: { any: [{ daemon: MSA }, { macro: { "{auth_type}": "*" } }] }
- use: ./c.ts
`);
  assert.equal(conditionText(filter.when!), "client in 127.0.0.0/8, ::1 and not authenticated");
  assert.equal(conditionText(upstream.when!), 'daemon matches "MSA" or macro {auth_type} matches "*"');
  assert.equal(none.when, undefined);
});

Deno.test("shares of mails as numbers", () => {
  const share = (canary: string) => links(`- { use: ./a.ts, canary: ${canary} }`)[0].canary;
  assert.deepEqual(["0.1%", "1%", "10%", "33.333%", "100%"].map(share), [0.001, 0.01, 0.1, 0.33333, 1]);
});
