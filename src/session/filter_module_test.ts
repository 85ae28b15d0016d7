import assert from "node:assert/strict";
import test from "node:test";
import type { FilterEnv, Log } from "../filter/mod.ts";
import { describeFilter, loadFilter, readDescription } from "./filter_module.ts";
import { FilterError } from "./manifest.ts";
import { wantsOf } from "./wants.ts";

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
const env: FilterEnv = { options: { size: "3" }, log, signal: new AbortController().signal };

test("loadFilter() checks options before the filter's function is called, and calls it with what the schema gives", async () => {
  const calls: unknown[] = [];
  const module = (ok: boolean) => ({
    manifest: {
      name: "m",
      version: "1",
      options: {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value: { size: string }) =>
            ok
              ? { value: { size: Number(value.size) } }
              : { issues: [{ message: "too small", path: ["size"] }] },
        },
      },
    },
    default: ({ options }: FilterEnv) => {
      calls.push(options);
      return { message() {} };
    },
  });
  await assert.rejects(loadFilter(() => Promise.resolve(module(false)), env), {
    name: "FilterError",
    message: "options.size: too small",
  });
  assert.deepEqual(calls, []);
  const { manifest } = await loadFilter(() => Promise.resolve(module(true)), env);
  assert.deepEqual(calls, [{ size: 3 }]);
  assert.deepEqual(manifest, { name: "m", version: "1", permissions: {} });
});

test("loadFilter() tells errors of the module from those of the filter", async () => {
  const broken = new Error("no such module");
  await assert.rejects(loadFilter(() => Promise.reject(broken), env), broken);
  const thrown = loadFilter(() =>
    Promise.resolve({
      default: () => {
        throw new Error("no list");
      },
    }), env);
  await assert.rejects(thrown, { name: "FilterError", message: "its function failed: no list" });
});

test("what a filter says of itself goes through plain data and asks the MTA for the same", async () => {
  const filter = {
    name: "f",
    rcpt() {},
    header() {},
    endOfMessage() {},
    edits: ["addHeader"],
    needs: ["client"],
    macros: { mail: ["{auth_authen}"] },
    refusedRecipients: true,
    noReply: ["header"],
  };
  const manifest = { name: "m", version: "1", permissions: { net: ["a.example"] } };
  const loaded = await loadFilter(() => Promise.resolve({ default: filter, manifest }), env);
  const read = readDescription(structuredClone(describeFilter(loaded)));
  assert.deepEqual(read.manifest, manifest);
  assert.deepEqual(wantsOf(read.filter, true), wantsOf(loaded.filter, true));
});

test("readDescription() takes nothing from a sandbox that no filter could be", () => {
  const good = { name: "f", hooks: ["message"], declared: {}, manifest: undefined };
  assert.equal(typeof readDescription(good).filter.message, "function");
  assert.equal(readDescription({ ...good, manifest: { name: 7 } }).manifest, undefined);
  assert.equal(readDescription({ ...good, hooks: ["message", "toString", 7] }).filter.rcpt, undefined);
  const bad: readonly unknown[] = [
    undefined,
    7,
    {},
    { ...good, hooks: [] },
    { ...good, hooks: "message" },
    { ...good, name: 7 },
    { ...good, declared: { edits: ["format"] } },
    { ...good, declared: { noReply: ["message"] } },
    { ...good, declared: { macros: { mail: ["a b"] } } },
  ];
  for (const value of bad) assert.throws(() => readDescription(value), FilterError);
});
