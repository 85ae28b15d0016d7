// What is made of replies that real milters send and the strict check refuses.
import fc from "fast-check";
import assert from "node:assert/strict";
import { type Reply, SMFIC, SMFIF, SMFIP } from "../../protocol/mod.ts";
import { readReplyText } from "../../session/mta_checks.ts";
import { ReplyCheck } from "../relay/reply_check.ts";
import { answerFor, meant, type Negotiated } from "./liberal.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const AGREEMENT = { version: 6, actions: 0x1ff, protocol: 0, macros: [], dataSize: 65_535 };

function texted(text: string): Reply {
  return { kind: "replyCode", text: encoder.encode(text) };
}

/** The text that a milter's text becomes, and what was warned of. */
function put(text: string): { readonly text: string; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const reply = meant(texted(text), SMFIC.RCPT, 0, (message) => warnings.push(message));
  assert.equal(reply?.kind, "replyCode");
  new ReplyCheck().check(reply!, SMFIC.RCPT, AGREEMENT);
  return { text: decoder.decode((reply as { text: Uint8Array }).text), warnings };
}

const TEXTS: readonly [name: string, text: string, put: string, warnings: number][] = [
  ["a good one", "550 5.7.1 no %% here", "550 5.7.1 no %% here", 0],
  ["a good one of two lines", "451-4.7.1 a\r\n451 4.7.1 b", "451-4.7.1 a\r\n451 4.7.1 b", 0],
  ["no enhanced code", "550 no", "550 5.0.0 no", 1],
  ["no words either", "451 ", "451 4.0.0 ", 1],
  ["a lone %", "550 5.7.1 100% no", "550 5.7.1 100%% no", 1],
  ["one lone % and one that is not", "550 5.7.1 100% %% no%", "550 5.7.1 100%% %% no%%", 1],
  ["LF between lines", "550-5.7.1 a\n550 5.7.1 b", "550-5.7.1 a\r\n550 5.7.1 b", 1],
  ["a long line", `550 5.7.1 ${"x".repeat(2000)}`, `550 5.7.1 ${"x".repeat(970)}`, 1],
  ["a long line of %", `550 5.7.1 a${"%".repeat(1999)}`, `550 5.7.1 a${"%".repeat(968)}`, 2],
  [
    "everything",
    `421-a%\n421 4.3.2 ${"y".repeat(1000)}`,
    `421-4.0.0 a%%\r\n421 4.3.2 ${"y".repeat(970)}`,
    4,
  ],
];
for (const [name, text, expected, count] of TEXTS) {
  Deno.test(`liberal: a reply text with ${name}`, () => {
    const { text: got, warnings } = put(text);
    assert.equal(got, expected);
    assert.equal(warnings.length, count, warnings.join("\n"));
  });
}

Deno.test("liberal: whatever text can be read comes out safe, and says the same", () => {
  const piece = fc.oneof(
    fc.constantFrom("%", "%%", "5.7.1 ", " ", "é", "\u{1f600}", "x".repeat(500)),
    fc.string(),
  );
  const line = fc.array(piece, { maxLength: 6 }).map((pieces) =>
    pieces.join("").replace(/\p{Cc}/gu, "").toWellFormed()
  );
  fc.assert(fc.property(
    fc.array(line, { minLength: 1, maxLength: 4 }),
    fc.constantFrom("\n", "\r\n"),
    fc.constantFrom("550", "421", "452"),
    (lines, end, code) => {
      const raw = lines.map((words, i) => `${code}${i === lines.length - 1 ? " " : "-"}${words}`).join(end);
      let before: string;
      try {
        before = readReplyText(encoder.encode(raw)).text;
      } catch {
        // An enhanced code of another class.
        return;
      }
      const after = readReplyText(encoder.encode(put(raw).text)).text;
      for (const [i, words] of before.split("\r\n").entries()) {
        const got = after.split("\r\n")[i].replace(/^(....)[45]\.0\.0 (?![45]\.\d)/, "$1");
        assert(words.startsWith(got) || got.startsWith(words), `${words}\n${got}`);
        if (words.length < 400) assert.equal(got.length, words.replace(/^(....)[45]\.0\.0 /, "$1").length);
      }
    },
  ));
});

Deno.test("liberal: texts that no MTA takes stay refused", () => {
  for (
    const text of ["250 2.0.0 fine", "550", "550-5.7.1 x", "550 4.7.1 x", "550 5.7.1 a\r\n", "550 5.7.1 \x01"]
  ) {
    assert.throws(() => put(text), { name: "ProtocolError" }, text);
  }
});

Deno.test("liberal: replies where they mean nothing", () => {
  const all = [
    ...[SMFIC.CONNECT, SMFIC.HELO, SMFIC.MAIL, SMFIC.RCPT, SMFIC.DATA, SMFIC.UNKNOWN],
    ...[SMFIC.HEADER, SMFIC.EOH, SMFIC.BODY, SMFIC.BODYEOB],
  ];
  const rows: [reply: Reply["kind"], protocol: number, same: readonly number[]][] = [
    [
      "discard",
      0,
      all.filter((code) => ![SMFIC.CONNECT, SMFIC.HELO, SMFIC.UNKNOWN].some((no) => no === code)),
    ],
    ["accept", 0, all.filter((code) => code !== SMFIC.UNKNOWN)],
    ["skip", SMFIP.SKIP, [SMFIC.BODY]],
    ["skip", 0, []],
    ["continue", 0, all],
    ["reject", 0, all],
  ];
  for (const [kind, protocol, same] of rows) {
    for (const code of all) {
      const warnings: string[] = [];
      const reply = meant({ kind } as Reply, code, protocol, (message) => warnings.push(message));
      const kept = same.includes(code);
      assert.equal(reply?.kind, kept ? kind : "continue", `${kind} ${code}`);
      assert.equal(warnings.length, kept ? 0 : 1, `${kind} ${code}`);
    }
  }
  for (const code of all) {
    const reply = meant({ kind: "progress" }, code, 0, () => assert.fail("no warning"));
    assert.equal(reply?.kind, code === SMFIC.BODYEOB ? "progress" : undefined);
  }
});

const OFFER = { version: 6, actions: 0x1ff, protocol: 0x1fffff };

function negotiated(answer: Partial<Negotiated>, offer: Partial<typeof OFFER> = {}, answerData = false) {
  const warnings: string[] = [];
  const whole: Negotiated = { kind: "negotiate", version: 6, actions: 1, protocol: 0, macros: [], ...answer };
  const { version, actions, protocol, macros } = answerFor(
    whole,
    { ...OFFER, ...offer },
    answerData,
    (message) => warnings.push(message),
  );
  return { version, actions, protocol, macros: macros.length, warnings: warnings.length };
}

Deno.test("liberal: negotiation", () => {
  const same = { version: 6, actions: 1, protocol: 0, macros: 0, warnings: 0 };
  assert.deepEqual(negotiated({}), same);
  assert.deepEqual(negotiated({ version: 0 }), { ...same, version: 2 });
  assert.deepEqual(negotiated({ version: 4 }), { ...same, version: 4 });
  // rspamd: the same to every MTA, here to Stalwart.
  const noReplies = 0xff080;
  assert.deepEqual(
    negotiated({ actions: 0x1ff, protocol: noReplies }, { actions: 0xff, protocol: 0x42 }),
    { ...same, actions: 0xff, protocol: 0, warnings: 1 },
  );
  // Sendmail's library reads an offer of nothing as that of version 1.
  const old = { version: 2, actions: 0, protocol: 0 };
  assert.deepEqual(negotiated({ version: 2, actions: 0x0f, protocol: 0x3f & ~SMFIP.NOMAIL }, old), {
    ...same,
    version: 2,
    actions: 0x0f,
    protocol: 0x3f & ~SMFIP.NOMAIL,
  });
  // MAIL tells one mail from the next, so it is always asked for.
  assert.equal(negotiated({ protocol: SMFIP.NOMAIL }).protocol, SMFIP.NR_MAIL);
  assert.equal(negotiated({ protocol: SMFIP.NOMAIL }, { protocol: 0x7f }).protocol, 0);
  // On TCP the answer to DATA is worth more than it costs.
  const noData = SMFIP.NODATA | SMFIP.NR_DATA | SMFIP.NOBODY;
  assert.equal(negotiated({ protocol: noData }).protocol, noData);
  assert.equal(negotiated({ protocol: noData }, {}, true).protocol, SMFIP.NOBODY);
  const macros = [{ stage: 0, names: encoder.encode("j") }];
  assert.equal(negotiated({ actions: SMFIF.SETSYMLIST, macros }).macros, 1);
  assert.equal(negotiated({ version: 4, macros }, { version: 4, protocol: 0x37f }).macros, 0);
  for (const version of [1, 7]) assert.throws(() => negotiated({ version }), { name: "ProtocolError" });
  assert.throws(() => negotiated({ version: 6 }, { version: 4, protocol: 0x37f }), { name: "ProtocolError" });
});
