import assert from "node:assert/strict";
import { LogSink } from "./log_sink.ts";

/** A writer whose writes end when the test says so. */
function slowWriter() {
  const written: string[] = [];
  const waiting: PromiseWithResolvers<void>[] = [];
  return {
    written,
    waiting,
    write: (bytes: Uint8Array) => {
      written.push(new TextDecoder().decode(bytes));
      waiting.push(Promise.withResolvers<void>());
      return waiting.at(-1)!.promise;
    },
  };
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

Deno.test("LogSink writes the lines of one moment at once, and what comes meanwhile afterwards", async () => {
  const { written, waiting, write } = slowWriter();
  const sink = new LogSink(write, () => "");
  sink.push("a\n");
  sink.push("b\n");
  await turn();
  sink.push("c\n");
  sink.push("d\n");
  await turn();
  assert.deepEqual(written, ["a\nb\n"]);
  waiting[0].resolve();
  await turn();
  assert.deepEqual(written, ["a\nb\n", "c\nd\n"]);
  waiting[1].resolve();
  await sink.drain();
});

Deno.test("LogSink drops lines over its limit and says how many", async () => {
  const { written, waiting, write } = slowWriter();
  const sink = new LogSink(write, (count) => `dropped ${count}\n`, 10);
  sink.push("first\n");
  await turn();
  for (let i = 0; i < 5; i++) sink.push(`${i}23\n`);
  waiting[0].resolve();
  await turn();
  assert.deepEqual(written, ["first\n", "023\n123\ndropped 3\n"]);
  waiting[1].resolve();
  await sink.drain();
  sink.push("after\n");
  await turn();
  assert.equal(written.at(-1), "after\n");
  waiting[2].resolve();
  await sink.drain();
});

Deno.test("LogSink takes whole lines as bytes, and counts each of those it drops", async () => {
  const { written, waiting, write } = slowWriter();
  const sink = new LogSink(write, (count) => `dropped ${count}\n`, 10);
  const bytes = (text: string) => new TextEncoder().encode(text);
  sink.pushBytes(bytes("a\nb\n"));
  await turn();
  sink.pushBytes(bytes("c\nd\n"));
  sink.pushBytes(bytes("three\nlines\nmore\n"));
  waiting[0].resolve();
  await turn();
  assert.deepEqual(written, ["a\nb\n", "c\nd\ndropped 3\n"]);
  waiting[1].resolve();
  await sink.drain();
});

Deno.test("LogSink goes on after a write that failed", async () => {
  const { written, waiting, write } = slowWriter();
  const sink = new LogSink(write, (count) => `dropped ${count}\n`);
  sink.push("lost\n");
  await turn();
  waiting[0].reject(new Error("no reader"));
  await sink.drain();
  sink.push("next\n");
  await turn();
  waiting[1].resolve();
  await sink.drain();
  assert.deepEqual(written, ["lost\n", "next\n"]);
});
