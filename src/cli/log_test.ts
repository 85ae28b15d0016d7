import assert from "node:assert/strict";
import type { MailReport } from "../session/plan.ts";
import { openLog } from "./log.ts";
import { testIo } from "./test_io.ts";

const REPORT: MailReport = {
  filter: "f",
  queueId: undefined,
  client: "192.0.2.7",
  sender: "a@b.example",
  recipients: 2,
  refused: 1,
  stage: "rcpt",
  verdict: "reject",
  reply: "550 5.7.1 no",
  edits: 0,
  ms: 1.23456,
  failure: undefined,
};

function lines(text: string): Record<string, unknown>[] {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("the log keeps to its level, and counts a mail with a failure as a warning", async () => {
  const io = testIo();
  const log = openLog({ format: "json", level: "warn" }, io.stderr);
  log.server.mail(REPORT);
  log.server.event("info", "not this");
  log.filter("f").debug("nor this");
  const failure = {
    kind: "timeout",
    filter: "f",
    hook: "rcpt",
    message: "late",
    outcome: "tempfail",
  } as const;
  log.server.mail({ ...REPORT, failure });
  log.server.failure(failure);
  log.filter("f").warn("this");
  await log.close();
  assert.deepEqual(lines(io.err()).map(({ time: _, ...rest }) => rest), [
    {
      level: "warn",
      message: "mail",
      queue: "-",
      client: "192.0.2.7",
      sender: "a@b.example",
      recipients: 2,
      refused: 1,
      verdict: "reject",
      stage: "rcpt",
      reply: "550 5.7.1 no",
      edits: 0,
      ms: 1.2,
      filter: "f",
      failure: "timeout",
    },
    {
      level: "error",
      message: "filter failed",
      filter: "f",
      hook: "rcpt",
      kind: "timeout",
      outcome: "tempfail",
      error: "late",
    },
    { level: "warn", message: "this", filter: "f" },
  ]);
});

Deno.test("the log takes messages as they are: braces are no templates, fields no names of the runtime", async () => {
  const io = testIo();
  const log = openLog({ format: "auto", level: "info" }, io.stderr);
  log.filter("f").info("{secret} {*}", { secret: "s", filter: "other" });
  log.server.event("info", "{secret}", { secret: "s" });
  await log.close();
  const [first, second] = lines(io.err());
  assert.deepEqual([first.message, first.filter, first.fields], ["{secret} {*}", "f", {
    secret: "s",
    filter: "other",
  }]);
  assert.deepEqual([second.message, second.secret], ["{secret}", "s"]);
});

Deno.test("the log is text on a terminal unless told otherwise, JSON elsewhere unless told otherwise", async () => {
  const rows = [["auto", true, "text"], ["auto", false, "json"], ["text", false, "text"], [
    "json",
    true,
    "json",
  ]] as const;
  for (const [format, isTerminal, expected] of rows) {
    const io = testIo({ isTerminal });
    const log = openLog({ format, level: "info" }, io.stderr);
    log.server.event("info", "hello");
    await log.close();
    assert.equal(io.err().startsWith("{") ? "json" : "text", expected, `${format} ${isTerminal}`);
  }
});

Deno.test("the log says nothing after it was closed", async () => {
  const io = testIo();
  const log = openLog({ format: "json", level: "info" }, io.stderr);
  log.server.event("info", "before");
  await log.close();
  log.server.event("error", "after");
  assert.equal(lines(io.err()).length, 1);
});

Deno.test("the log goes on with other options, and loses no line", async () => {
  const io = testIo();
  const log = openLog({ format: "json", level: "info" }, io.stderr);
  const filter = log.filter("f");
  filter.info("one");
  filter.debug("not this");
  log.configure({ format: "text", level: "debug" });
  filter.debug("two");
  log.server.event("debug", "three");
  log.configure({ format: "json", level: "error" });
  filter.warn("nor this");
  filter.error("four");
  await log.close();
  const [one, two, three, four, ...more] = io.err().trimEnd().split("\n");
  assert.deepEqual([JSON.parse(one).message, JSON.parse(four).message, more], ["one", "four", []]);
  assert.match(two, /^\S+ debug two filter=f$/);
  assert.match(three, /^\S+ debug three$/);
});
