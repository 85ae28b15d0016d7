import assert from "node:assert/strict";
import { parseConfig } from "../../config/parse.ts";
import { changeWords } from "./changes.ts";

const config = (text: string) => parseConfig(text, { file: "m.yaml" });

Deno.test("changeWords() names every filter with what became of it, and every other key that changed", () => {
  const before = config(`
listen: [inet:1@127.0.0.1, unix:/run/a.sock]
filters:
- { use: ./a.ts }
- { use: ./b.ts }
- { use: ./c.ts, isolation: none }
`);
  assert.deepEqual(changeWords(before, before), [
    "filter a restarted",
    "filter b restarted",
    "filter c restarted (same code: isolation none)",
  ]);
  const after = config(`
listen: [unix:/run/a.sock, inet:2@127.0.0.1]
control: unix:/run/c.sock
socket: { mode: 0600 }
threads: 2
limits: { connections: 5 }
cache: elsewhere
lock: elsewhere.lock
jsr: https://jsr.example/
log: { level: debug }
filters:
- { use: ./c.ts, isolation: none }
- { use: ./b.ts, timeout: 1s }
- { use: ./d.ts }
`);
  assert.deepEqual(changeWords(before, after), [
    "filter c restarted (same code: isolation none)",
    "filter b changed",
    "filter d added",
    "filter a removed",
    "order of the filters changed",
    "listening on inet:2@127.0.0.1",
    "no longer listening on inet:1@127.0.0.1",
    "control socket unix:/run/c.sock",
    "threads changed",
    "socket changed",
    "limits changed",
    "cache changed",
    "lock changed",
    "jsr changed",
    "log changed",
  ]);
  assert.ok(changeWords(after, before).includes("no control socket any more"));
});

Deno.test("changeWords() sees what filters inherit from the defaults", () => {
  const before = config("listen: unix:/m.sock\nfilters: [{ use: ./a.ts }, { use: ./b.ts, timeout: 5s }]");
  const after = config(
    "listen: unix:/m.sock\ndefaults: { timeout: 7s }\nfilters: [{ use: ./a.ts }, { use: ./b.ts, timeout: 5s }]",
  );
  assert.deepEqual(changeWords(before, after), ["filter a changed", "filter b restarted"]);
});
