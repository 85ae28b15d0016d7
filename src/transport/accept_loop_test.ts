import assert from "node:assert/strict";
import { FakeTime } from "@std/testing/time";
import { acceptLoop } from "./accept_loop.ts";

Deno.test("acceptLoop() pauses longer after each failure in a row, up to a second, and never gives up", async () => {
  using time = new FakeTime();
  const outcomes = [..."ok fail fail ok".split(" "), ...Array(12).fill("fail"), "ok"];
  const pauses: number[] = [];
  const closing = new AbortController();
  const loop = acceptLoop({
    accept: () => {
      const next = outcomes.shift();
      return next === "ok" ? Promise.resolve("connection") : Promise.reject(new Error("EMFILE"));
    },
    signal: closing.signal,
    discard() {},
    onFailure: (_error, pause) => pauses.push(pause),
  });
  assert.equal((await loop.next()).value, "connection");
  for (let expected = 2; expected <= 3; expected++) {
    const next = loop.next();
    // Time moves only here, by what the loop said it would wait.
    while (!await settled(next)) await time.tickAsync(pauses.at(-1) ?? 1);
    assert.equal((await next).value, "connection");
  }
  assert.deepEqual(pauses, [5, 10, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]);
});

Deno.test("acceptLoop() does not ask again before the pause is over", async () => {
  using time = new FakeTime();
  let asked = 0;
  const closing = new AbortController();
  const loop = acceptLoop({
    accept: () => {
      asked++;
      return Promise.reject(new Error("ENFILE"));
    },
    signal: closing.signal,
    discard() {},
    onFailure() {},
  });
  const next = loop.next();
  await time.tickAsync(4);
  assert.equal(asked, 1);
  await time.tickAsync(1);
  assert.equal(asked, 2);
  await time.tickAsync(9);
  assert.equal(asked, 2);
  await time.tickAsync(1);
  assert.equal(asked, 3);
  closing.abort();
  assert.equal((await next).done, true);
});

Deno.test("acceptLoop() ends in the middle of a pause when the listener is closed, and leaves no timer", async () => {
  const closing = new AbortController();
  const failed = Promise.withResolvers<void>();
  const loop = acceptLoop({
    accept: () => Promise.reject(new Error("EMFILE")),
    signal: closing.signal,
    discard() {},
    onFailure: () => failed.resolve(),
  });
  const next = loop.next();
  await failed.promise;
  closing.abort();
  assert.equal((await next).done, true);
});

Deno.test("acceptLoop() says nothing about the failure that closing causes", async () => {
  const closing = new AbortController();
  const waiting = Promise.withResolvers<string>();
  const failures: unknown[] = [];
  const loop = acceptLoop({
    accept: () => waiting.promise,
    signal: closing.signal,
    discard() {},
    onFailure: (error) => failures.push(error),
  });
  const next = loop.next();
  closing.abort();
  waiting.reject(new Error("closed"));
  assert.equal((await next).done, true);
  assert.deepEqual(failures, []);
});

Deno.test("acceptLoop() discards a connection that arrives while the listener is closed", async () => {
  const closing = new AbortController();
  const waiting = Promise.withResolvers<string>();
  const discarded: string[] = [];
  const loop = acceptLoop({
    accept: () => waiting.promise,
    signal: closing.signal,
    discard: (connection) => discarded.push(connection),
    onFailure() {},
  });
  const next = loop.next();
  closing.abort();
  waiting.resolve("late");
  assert.equal((await next).done, true);
  assert.deepEqual(discarded, ["late"]);
});

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return await Promise.race([promise, Promise.resolve(pending)]) !== pending;
}
