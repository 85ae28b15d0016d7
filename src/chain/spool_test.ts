// Bodies larger than what is kept in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  body,
  connected,
  data,
  end,
  endOfHeaders,
  entry,
  mail,
  noting,
  rcpt,
  said,
} from "../../tests/helpers/chain_play.ts";
import type { Filter } from "../filter/mod.ts";
import { Chain } from "./chain.ts";
import type { ChainLimits } from "./plan.ts";
import type { SpoolFile } from "./spool.ts";

test("a body past what is kept in memory goes to a file, in order, and the file goes with the mail", async () => {
  for (const ends of ["end", "abort", "lost"] as const) {
    let file = new Uint8Array(0);
    let open = 0;
    const make = (): Promise<SpoolFile> => {
      open++;
      file = new Uint8Array(0);
      return Promise.resolve({
        write(bytes) {
          file = Uint8Array.of(...file, ...bytes);
          return Promise.resolve();
        },
        read(at, into) {
          const part = file.subarray(at, at + into.length);
          into.set(part);
          return Promise.resolve(part.length);
        },
        close: () => void open--,
      });
    };
    const limits: Partial<ChainLimits> = { spool: { memory: 10, open: make } };
    const bodies: string[] = [];
    const reads = (name: string): Filter => ({
      name,
      body: (chunk) => void bodies.push(name + new TextDecoder().decode(chunk)),
      endOfMessage() {},
    });
    const chain = new Chain([entry(reads("a")), entry(reads("b")), entry(reads("c"))], limits);
    const driver = connected(chain);
    await driver.begin();
    await said(
      driver,
      mail(),
      rcpt("one@lab.example"),
      data,
      endOfHeaders,
      body("12345"),
      body("678901234"),
      body("rest"),
    );
    assert.equal(open, 1);
    if (ends === "end") await said(driver, end);
    if (ends === "abort") await said(driver, { kind: "abort" });
    await driver.lost();
    assert.equal(open, 0, ends);
    const whole = (name: string) =>
      bodies.filter((text) => text.startsWith(name)).map((text) => text.slice(1)).join("");
    assert.deepEqual(
      ["a", "b", "c"].map(whole),
      ends === "end" ? Array(3).fill("12345678901234rest") : ["12345678901234rest", "", ""],
    );
  }
});

test("a body over the limit without a folder for it, or a spool that fails, is told the MTA, and no link acts on half a mail", async () => {
  const broken = () => Promise.reject(new Error("disk full"));
  for (
    const [spool, over] of [[{ memory: 10 }, "tempfail"], [{ memory: 10 }, "reject"], [{
      memory: 10,
      open: broken,
    }, "tempfail"]] as const
  ) {
    const calls: string[] = [];
    const chain = new Chain([entry(noting("a", calls)), entry(noting("b", calls))], { spool, over });
    const driver = connected(chain);
    await driver.begin();
    await said(driver, mail(), rcpt("one@lab.example"), data, endOfHeaders);
    const words = await said(driver, body("12345678901"));
    assert.deepEqual(words, [over]);
    assert.deepEqual(calls.filter((call) => call.includes("abort")), ["a abort", "b abort"]);
    assert.match(
      driver.notes.mails[0].why!,
      /^the chain cannot take it: the (?:body is over 10 bytes|spool cannot be written: disk full)/,
    );
    assert.equal((await said(driver, end)).at(-1), "continue");
    // The next mail is not touched by it.
    await said(driver, mail(), rcpt("one@lab.example"), data, endOfHeaders, body("1234"));
    assert.deepEqual(await said(driver, end), ["continue"]);
  }
});
