import assert from "node:assert/strict";
import { uniformPolicy } from "../session/policy.ts";
import { ConfigError } from "./error.ts";
import { parseConfig } from "./parse.ts";
import type { Config, FilterConfig } from "./schema.ts";

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

/** The only filter of a configuration, by the lines of its entry. */
function filterOf(...lines: readonly string[]): FilterConfig {
  const [link] = config(`listen: unix:/m.sock\nfilters:\n- ${lines.join("\n  ")}\n`).filters;
  assert.equal(link.kind, "filter");
  return link as FilterConfig;
}

/** What is said about the lines of a filter's entry. */
function about(...lines: readonly string[]): string[] {
  return issues(`listen: unix:/m.sock\nfilters:\n- ${lines.join("\n  ")}\n`);
}

Deno.test("parseConfig() names filters after their modules", () => {
  const names: readonly (readonly [string, string])[] = [
    ["bundled:rules", "rules"],
    ["./footer.ts", "footer"],
    ["../filters/grey list.js", "grey_list"],
    ["/srv/filters/spam/mod.ts", "spam"],
    ["./mod.ts", "mod"],
    ["./.hidden.ts", "hidden"],
    ["./---.ts", "filter"],
    ["https://filters.example/greylist@2/mod.ts", "greylist"],
    ["https://filters.example/v1.ts", "v1"],
    ["http://127.0.0.1:8000/", "127.0.0.1"],
    ["jsr:@example/grey-list@^1.2/mod.ts", "grey-list"],
    ["jsr:@example/grey-list", "grey-list"],
  ];
  for (const [use, name] of names) {
    assert.equal(
      config(`listen: inet:1@127.0.0.1\nfilters: [{ use: ${JSON.stringify(use)} }]`).filters[0].name,
      name,
    );
  }
});

Deno.test("parseConfig() checks where filters are", () => {
  const about = (use: string) =>
    issues(`listen: inet:1@127.0.0.1\nfilters:\n  - use: ${use}\n`).join("\n").replace(
      /^3:10: filters\[0\]\.use: /,
      "",
    );
  assert.equal(
    about("footer"),
    '"footer" is neither a path nor a bundled filter nor an address: write ./footer for a file, bundled:footer for a bundled filter',
  );
  assert.equal(about("bundle:footer"), '"bundle:footer": did you mean bundled:footer?');
  assert.match(about("bundled:../x"), /^"\.\.\/x" is not the name of a bundled filter/);
  assert.match(
    about("http://x.example/mod.ts"),
    /^"http:\/\/x\.example\/mod\.ts" cannot be used: over http:/,
  );
  assert.match(
    about("https://me:pw@x.example/mod.ts"),
    /^"https:\/\/…@x\.example\/mod\.ts" has a user name or/,
  );
  assert.match(about("'https://x.example/mod.ts#a'"), /has a fragment: leave out "#a"$/);
  assert.match(about("https://"), /is not an address/);
  assert.match(
    about("jsr:std/yaml"),
    /^"jsr:std\/yaml" is not a JSR specifier: write jsr:@scope\/name@range\/path/,
  );
  assert.match(about("npm:x"), /^"npm:x" cannot be a filter: npm packages are not pinned module by module/);
  assert.match(
    about("ftp://x.example/mod.ts"),
    /^"ftp:\/\/x\.example\/mod\.ts" cannot be loaded: filters come from/,
  );
  assert.match(about("file:///a.ts"), /without file:/);
  assert.match(about("7"), /^7 is not a filter: write a path/);
  assert.deepEqual(issues("listen: inet:1@127.0.0.1\nfilters: [{ use: }]"), [
    "2:13: filters[0].use: nothing is not a filter: write a path such as ./filter.ts, bundled:NAME, https: or jsr:",
  ]);
  assert.deepEqual(issues("listen: inet:1@127.0.0.1\nfilters: []"), [
    "2:10: filters: the list is empty: expected at least one entry",
  ]);
});

Deno.test("parseConfig() refuses two filters of one name", () => {
  const two = "listen: inet:1@127.0.0.1\nfilters:\n- use: ./a.ts\n- use: bundled:a\n";
  assert.deepEqual(issues(two), [
    '4:3: filters[1]: the name "a" is taken by filters[0]; give this one a name: of its own',
  ]);
  assert.deepEqual(issues(`${two}  name: b\n`), []);
});

Deno.test("parseConfig() takes rights as lists only, and checks each entry", () => {
  assert.deepEqual(filterOf("use: ./a.ts", "permissions:").permissions, NOTHING);
  assert.deepEqual(
    filterOf("use: ./a.ts", "permissions: { net: [a.example, '*.b.example:25', 10.0.0.8] }").permissions
      .net,
    [
      "a.example",
      "*.b.example:25",
      "10.0.0.8",
    ],
  );
  const rows: readonly (readonly [string, string])[] = [
    [
      "true",
      "permissions: true would grant everything: list what the filter may touch, for example { net: [127.0.0.1:3310] }",
    ],
    [
      "{ net: true }",
      'permissions.net: true would grant everything: list what the filter may touch, for example ["127.0.0.1:3310"]',
    ],
    [
      "{ net: a.example }",
      'permissions.net: "a.example" is not a list: write for example ["127.0.0.1:3310"]',
    ],
    [
      "{ net: ['*'] }",
      'permissions.net[0]: "*" is not a host: write HOST or HOST:PORT, for example ["127.0.0.1:3310"]',
    ],
    [
      "{ net: [https://a.example/x] }",
      'permissions.net[0]: "https://a.example/x" is an address of a page: rights are for hosts; write "a.example" or "a.example:443"',
    ],
    [
      "{ net: [10.0.0.0/8] }",
      'permissions.net[0]: "10.0.0.0/8" is a range of addresses, which Deno cannot grant to a single filter: write hosts',
    ],
    [
      "{ net: ['a,b'] }",
      'permissions.net[0]: "a,b" has a comma or a control character: give each entry as one of the list',
    ],
    ["{ net: ['unix:run/x'] }", 'permissions.net[0]: "unix:run/x" needs an absolute path behind unix:'],
    [
      "{ read: [7] }",
      'permissions.read[0]: 7 is not an entry: write text, for example ["/etc/millrace/lists"]',
    ],
    ["{ env: ['*'] }", 'permissions.env[0]: "*" is not the name of an environment variable'],
    [
      "{ sys: [hostnam] }",
      'permissions.sys[0]: "hostnam" is nothing that --allow-sys knows; did you mean hostname?',
    ],
    [
      "{ state: true }",
      "permissions: state of a filter's own that outlives a restart comes with a later version; leave it out",
    ],
    ["{ run: [ls] }", 'permissions: unknown key "run"; allowed here: net, read, write, env, sys'],
  ];
  for (const [permissions, expected] of rows) {
    const found = about("use: ./a.ts", `permissions: ${permissions}`).map((issue) =>
      issue.replace(/^4:\d+: filters\[0\]\.?/, "")
    );
    assert.deepEqual(found, [expected], permissions);
  }
});

Deno.test("parseConfig() takes an outcome for each kind of failure", () => {
  const text = (own: string) =>
    `listen: unix:/m.sock\ndefaults: { on_failure: { timeout: accept, default: reject } }\nfilters:\n- { use: ./a.ts, ${own} }\n`;
  const general = { ...uniformPolicy("reject"), timeout: "accept" };
  assert.deepEqual(config(text("name: a")).filters[0].onFailure, general);
  assert.deepEqual(config(text("on_failure: { memory: tempfail }")).filters[0].onFailure, {
    ...general,
    memory: "tempfail",
  });
  assert.deepEqual(config(text("on_failure: { default: tempfail, crash: accept }")).filters[0].onFailure, {
    ...uniformPolicy("tempfail"),
    crash: "accept",
  });
  assert.deepEqual(config(text("on_failure: accept")).filters[0].onFailure, { ...uniformPolicy("accept") });
  assert.deepEqual(about("use: ./a.ts", "on_failure: { timout: accept }"), [
    '4:17: filters[0].on_failure: unknown key "timout"; did you mean timeout?',
  ]);
  assert.deepEqual(about("use: ./a.ts", "on_failure: { timeout: acept }"), [
    '4:26: filters[0].on_failure.timeout: "acept" is not one of tempfail, accept, reject; did you mean accept?',
  ]);
  assert.deepEqual(about("use: ./a.ts", "on_failure: acept"), [
    '4:15: filters[0].on_failure: "acept" is not one of tempfail, accept, reject; did you mean accept?',
  ]);
});

Deno.test("parseConfig() refuses limits that nothing would enforce", () => {
  assert.equal(filterOf("use: ./a.ts", "isolation: none").isolation, "none");
  assert.deepEqual(
    filterOf("use: ./a.ts", "isolation: none", "permissions: { net: [] }").permissions,
    NOTHING,
  );
  assert.deepEqual(
    about(
      "use: ./a.ts",
      "isolation: none",
      "permissions: { net: [a.example] }",
      "instances: 2",
      "memory: 64MiB",
    ),
    [
      "5:3: filters[0].permissions: with isolation: none a filter has all rights of the program, so these would hold " +
      "nothing back; leave out one of the two",
      "6:3: filters[0].instances: is for sandboxes, and isolation: none has none; leave out one of the two",
      "7:3: filters[0].memory: is for sandboxes, and isolation: none has none; leave out one of the two",
    ],
  );
  assert.deepEqual(about("use: https://x.example/a.ts", "isolation: none"), [
    "4:3: filters[0].isolation: none is for files and bundled filters: code from elsewhere runs in a sandbox; leave it out",
  ]);
});
