import assert from "node:assert/strict";
import { ConfigError } from "./error.ts";
import { parseConfig } from "./parse.ts";
import { uniformPolicy } from "../session/policy.ts";
import type { Config } from "./schema.ts";

const LEAST = 'listen: ["inet:8891@127.0.0.1"]\nfilters: [{ use: ./footer.ts }]\n';

function config(text: string): Config {
  return parseConfig(text, { file: "m.yaml" });
}

/** The issues of a text, without the file name. */
function issues(text: string): string[] {
  try {
    config(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message.split("\n").map((line) => {
      assert.ok(line.startsWith("m.yaml:"), line);
      return line.slice("m.yaml:".length);
    });
  }
  return [];
}

const NOTHING = { net: [], read: [], write: [], env: [], sys: [] };
/** What a filter has where nothing is said. */
const DEFAULTS = {
  kind: "filter",
  options: {},
  permissions: NOTHING,
  isolation: "sandbox",
  memory: 64 * 1024 ** 2,
  instances: 1,
  timeout: 10_000,
  startTimeout: 30_000,
  onFailure: { ...uniformPolicy("tempfail") },
  when: undefined,
  mode: "enforce",
  canary: 1,
} as const;
const SPOOL = { memory: 64 * 1024 ** 2, over: "tempfail" } as const;
const FILES = { cache: "millrace.cache", lock: "millrace.lock", jsr: "https://jsr.io/" };

Deno.test("parseConfig() applies all defaults once", () => {
  assert.deepEqual(config(LEAST), {
    listen: [{ kind: "inet", family: 4, host: "127.0.0.1", port: 8891 }],
    socket: {},
    threads: 1,
    limits: {},
    spool: SPOOL,
    filters: [{ ...DEFAULTS, use: { kind: "path", path: "./footer.ts" }, name: "footer" }],
    ...FILES,
    log: { format: "auto", level: "info" },
  });
});

Deno.test("parseConfig() reads everything that may be said", () => {
  const text = `
listen:
  - inet:8891@127.0.0.1
  - "unix:/run/millrace/millrace.sock"
socket: { mode: 0660, group: postfix }
threads: 4
control: unix:/run/millrace/control.sock
defaults:
  timeout: 1.5s
  on_failure: accept
limits:
  connections: 200
  idle: 10m
  drain: 500ms
  frame: 1MiB
  headers: 256KiB
  body: 25MiB
  recipients: 1000
spool: { memory: 1MiB, folder: ./spool, over: reject }
filters:
  - use: bundled:footer
    options: { text: "--\\nConfidential", deep: [1, { a: true }] }
  - use: /etc/millrace/rules/mod.ts
    name: house-rules
    timeout: 250ms
    on_failure: reject
  - use: https://filters.example/greylist@2/mod.ts
    permissions: { net: ["127.0.0.1:3310", "[::1]:53"], read: [./lists], sys: [hostname] }
    memory: 128MiB
    instances: 3
    start_timeout: 5s
    on_failure: { timeout: accept, memory: reject, default: tempfail }
  - use: ./own.ts
    isolation: none
    on_failure: { crash: reject }
cache: /var/cache/millrace
lock: pins.lock
jsr: http://127.0.0.1:8080
log: { format: json, level: debug }
`;
  assert.deepEqual(config(text), {
    listen: [
      { kind: "inet", family: 4, host: "127.0.0.1", port: 8891 },
      { kind: "unix", path: "/run/millrace/millrace.sock" },
    ],
    socket: { mode: 0o660, group: "postfix" },
    threads: 4,
    control: { kind: "unix", path: "/run/millrace/control.sock" },
    limits: {
      connections: 200,
      idle: 600_000,
      drain: 500,
      frame: 1_048_576,
      headers: 262_144,
      body: 26_214_400,
      recipients: 1000,
    },
    spool: { memory: 1024 ** 2, folder: "./spool", over: "reject" },
    filters: [
      {
        ...DEFAULTS,
        use: { kind: "bundled", name: "footer" },
        name: "footer",
        options: { text: "--\nConfidential", deep: [1, { a: true }] },
        timeout: 1500,
        onFailure: { ...uniformPolicy("accept") },
      },
      {
        ...DEFAULTS,
        use: { kind: "path", path: "/etc/millrace/rules/mod.ts" },
        name: "house-rules",
        timeout: 250,
        onFailure: { ...uniformPolicy("reject") },
      },
      {
        ...DEFAULTS,
        use: { kind: "url", url: "https://filters.example/greylist@2/mod.ts" },
        name: "greylist",
        options: {},
        permissions: {
          ...NOTHING,
          net: ["127.0.0.1:3310", "[::1]:53"],
          read: ["./lists"],
          sys: ["hostname"],
        },
        isolation: "sandbox",
        memory: 128 * 1024 ** 2,
        instances: 3,
        timeout: 1500,
        startTimeout: 5000,
        onFailure: { ...uniformPolicy("tempfail"), timeout: "accept", memory: "reject" },
      },
      {
        ...DEFAULTS,
        use: { kind: "path", path: "./own.ts" },
        name: "own",
        isolation: "none",
        timeout: 1500,
        onFailure: { ...uniformPolicy("accept"), crash: "reject" },
      },
    ],
    cache: "/var/cache/millrace",
    lock: "pins.lock",
    jsr: "http://127.0.0.1:8080/",
    log: { format: "json", level: "debug" },
  });
});

Deno.test("parseConfig() reads a file mode as chmod does, however it is written", () => {
  for (const mode of ["0660", "660", '"0660"', "'660'", "0o660"]) {
    assert.equal(config(`${LEAST}socket: { mode: ${mode} }`).socket.mode, 0o660, mode);
  }
  for (const mode of ["0689", "66", "04755", "rw-rw----", "0x1b0", "true", "[0660]"]) {
    const [issue] = issues(`${LEAST}socket: { mode: ${mode} }`);
    assert.match(
      issue,
      /^3:17: socket\.mode: .* is not a file mode: write three octal digits, for example 0660$/,
    );
  }
});

Deno.test("parseConfig() takes sections without entries as left out", () => {
  const text = `${LEAST}socket:\ndefaults:\n  # timeout: 10s\nlimits:\nspool:\nlog:\n`;
  assert.deepEqual(config(text), config(LEAST));
  const [link] = config("listen: unix:/m.sock\nfilters:\n- use: ./a.ts\n  options:\n").filters;
  assert.deepEqual(link.kind === "filter" && link.options, {});
});

/** One line of YAML put below a configuration that is right, and what is said about it. */
const MISTAKES: readonly (readonly [string, string])[] = [
  ["limts: {}", '3:1: unknown key "limts"; did you mean limits?'],
  [
    "zebra: 1",
    '3:1: unknown key "zebra"; allowed here: listen, socket, threads, control, defaults, limits, spool, filters, cache, lock, jsr, log',
  ],
  ["defaults: { on-failure: accept }", '3:13: defaults: unknown key "on-failure"; did you mean on_failure?'],
  [
    "defaults: { isolation: none }",
    '3:13: defaults: unknown key "isolation"; allowed here: timeout, start_timeout, on_failure, memory',
  ],
  [
    "defaults: { memory: 64MB }",
    '3:21: defaults.memory: "64MB" is not a size: write a number and B, KiB, MiB or GiB; did you mean 64MiB?',
  ],
  ["defaults: { memory: 1MiB }", "3:21: defaults.memory: out of bounds: allowed are 16MiB to 4GiB"],
  ["cache: 7", "3:8: cache: 7 is not a folder: write a path"],
  ['lock: ""', '3:7: lock: "" is not a file: write a path'],
  ["jsr: jsr.io", '3:6: jsr: "jsr.io" is not an address: write https://HOST/PATH'],
  [
    "jsr: http://jsr.io/",
    '3:6: jsr: "http://jsr.io/" cannot be used: over http: anybody on the way can change the code; write https:, or ' +
    "http: with a loopback host such as 127.0.0.1",
  ],
  [
    "defaults: { on_failure: acept }",
    '3:25: defaults.on_failure: "acept" is not one of tempfail, accept, reject; did you mean accept?',
  ],
  ["log: { level: 3 }", "3:15: log.level: 3 is not one of debug, info, warn, error"],
  [
    "defaults: { timeout: 10 }",
    "3:22: defaults.timeout: 10 is not a duration: write a number and ms, s, m or h; did you mean 10s?",
  ],
  [
    'defaults: { timeout: "10 sec" }',
    '3:22: defaults.timeout: "10 sec" is not a duration: write a number and ms, s, m or h; did you mean 10s?',
  ],
  [
    "defaults: { timeout: soon }",
    '3:22: defaults.timeout: "soon" is not a duration: write a number and ms, s, m or h; for example 10s',
  ],
  ["defaults: { timeout: 0s }", "3:22: defaults.timeout: out of bounds: allowed are 1ms to 1h"],
  [
    "limits: { body: 10MB }",
    '3:17: limits.body: "10MB" is not a size: write a number and B, KiB, MiB or GiB; did you mean 10MiB?',
  ],
  ["limits: { frame: 1KiB }", "3:18: limits.frame: out of bounds: allowed are 64KiB to 16MiB"],
  ["limits: { connections: 1.5 }", "3:24: limits.connections: 1.5 is not a whole number from 1 to 100000"],
  ["limits: { recipients: lots }", '3:23: limits.recipients: "lots" is not a whole number from 1 to 1000000'],
  ["threads: 0", "3:10: threads: 0 is not a whole number from 1 to 64"],
  ["threads: many", '3:10: threads: "many" is not a whole number from 1 to 64'],
  ["limits: [1]", "3:9: limits: a list found, expected a map"],
  ["socket: { group: [mail] }", "3:18: socket.group: a list is not a group: write its name or number"],
  ["spool: { memory: 1KiB }", "3:18: spool.memory: out of bounds: allowed are 64KiB to 4GiB"],
  [
    "spool: { memory: 64 }",
    "3:18: spool.memory: 64 is not a size: write a number and B, KiB, MiB or GiB; did you mean 64B?",
  ],
  ["spool: { folder: [a] }", "3:18: spool.folder: a list is not a folder: write a path"],
  ["spool: { over: accept }", '3:16: spool.over: "accept" is not one of tempfail, reject'],
  ["spool: { dir: /tmp }", '3:10: spool: unknown key "dir"; allowed here: memory, folder, over'],
  [
    "control: 8892",
    '3:10: control: 8892 is not a control socket: write "unix:/PATH", for example "unix:/run/millrace/control.sock"',
  ],
  [
    "control: inet:8892@127.0.0.1",
    '3:10: control: "inet:8892@127.0.0.1" is no Unix socket: whoever reaches the control socket may reload, and only a ' +
    'file has an owner and a mode; write "unix:/PATH"',
  ],
  [
    "control: unix:control.sock",
    '3:10: control: Cannot read the socket address "unix:control.sock": the path is relative; write unix: and the whole ' +
    "path from /, such as unix:/run/control.sock",
  ],
  ["log: ~", ""],
  ["log: text", '3:6: log: "text" found, expected a map'],
];

Deno.test("parseConfig() says what is wrong, where, and what to write", () => {
  for (const [line, expected] of MISTAKES) {
    assert.deepEqual(issues(LEAST + line), expected ? [expected] : [], line);
  }
});

Deno.test("parseConfig() checks listen addresses", () => {
  const about = (listen: string) => issues(`listen: ${listen}\nfilters: [{ use: ./a.ts }]`).join("\n");
  assert.match(about("[tcp:127.0.0.1:8891]"), /^1:10: listen\[0\]: .*write inet:8891@127\.0\.0\.1$/);
  assert.match(about("127.0.0.1:8891"), /^1:9: listen: .*write inet:8891@127\.0\.0\.1$/);
  assert.match(
    about("[inet: 8891@127.0.0.1]"),
    /^1:10: listen\[0\]: found a map: .*write "inet:8891@127\.0\.0\.1"$/,
  );
  assert.match(
    about("{ inet: 8891@127.0.0.1 }"),
    /^1:9: listen: found a map: .*write "inet:8891@127\.0\.0\.1"$/,
  );
  assert.match(
    about("8891"),
    /^1:9: listen: 8891 is not a listen address: .*write "inet:8891@127\.0\.0\.1"$/,
  );
  assert.match(about("[]"), /^1:9: listen: the list is empty: expected at least one entry$/);
  assert.match(issues("filters: [{ use: ./a.ts }]")[0], /^1:1: listen: /);
});

Deno.test("parseConfig() reports all mistakes in the order of the text, but not without end", () => {
  const text =
    "filters:\n- use: x\n  optoins: {}\nlisten: [8891, unix:/m.sock]\nlog: { level: loud, format: txt }\n";
  assert.deepEqual(issues(text).map((issue) => issue.split(" ").slice(0, 2).join(" ")), [
    "2:8: filters[0].use:",
    "3:3: filters[0]:",
    "4:10: listen[0]:",
    "5:15: log.level:",
    "5:29: log.format:",
  ]);
  const many = `${LEAST}${Array.from({ length: 50 }, (_, i) => `key${i}: 1\n`).join("")}`;
  assert.equal(issues(many).length, 20);
});

Deno.test("parseConfig() answers texts that are no YAML map", () => {
  assert.match(issues("a: [1\nb: 2")[0], /^\d+:\d+: the text is not well-formed YAML: /);
  assert.match(issues("listen: x\nlisten: y")[0], /^2:\d+: the text is not well-formed YAML: /);
  assert.match(issues('a: 1\nb: "open')[0], /^[23]:\d+: the text is not well-formed YAML: /);
  assert.deepEqual(issues(""), ["1:1: nothing found, expected a map"]);
  assert.deepEqual(issues("- a"), ["1:1: a list found, expected a map"]);
  assert.deepEqual(issues("text"), ['1:1: "text" found, expected a map']);
  assert.match(issues("a: 1\n---\nb: 2")[0], /^[12]:1: the text is not well-formed YAML: .*document/);
  assert.match(
    issues(`a: "${"x".repeat(1024 * 1024)}"`)[0],
    /^1:1: \d+ characters; at most 1048576 are read$/,
  );
});

Deno.test("parseConfig() keeps control characters out of messages", () => {
  const [issue] = issues(`${LEAST}"a\\e[31m\\nb": 1`);
  assert.ok(issue.startsWith('1:1: unknown key "a\\x1b[31m\\nb"'), issue);
});

Deno.test("parseConfig() refuses threads where no TCP address is, or no port", () => {
  const text = (listen: string) => `listen: ${listen}\nthreads: 2\nfilters: [{ use: ./a.ts }]\n`;
  assert.deepEqual(issues(text("[unix:/a.sock, unix:/b.sock]")), [
    "2:1: threads: is for TCP addresses, among which the system spreads connections, and listen has none; add one, for " +
    'example "inet:8891@127.0.0.1", or leave threads out',
  ]);
  assert.deepEqual(issues(text('[unix:/a.sock, "inet:0@127.0.0.1"]')), [
    "2:1: threads: needs one port for all of them, and inet:0@127.0.0.1 is another each time; write a port",
  ]);
  assert.equal(config(text('[unix:/a.sock, "inet6:8891@::1"]')).threads, 2);
});
