// What an upstream milter is sent, by the order of commands; tests/upstream/libmilter_test.ts holds it against libmilter.
import assert from "node:assert/strict";
import { type Reply, SMFIC, SMFIP } from "../../protocol/mod.ts";
import { LibmilterOrder } from "./order.ts";

const VERDICTS: Readonly<Record<string, Reply>> = {
  c: { kind: "continue" },
  a: { kind: "accept" },
  r: { kind: "reject" },
  t: { kind: "tempfail" },
  d: { kind: "discard" },
  s: { kind: "skip" },
};

/**
 * Runs commands by letter; `M=r` has MAIL rejected, `(L)` is only for form's sake, `Dx` is SMFIC_MACRO of stage x.
 * Gives the letters of what was sent; a command kept back is in lower case, with its answer where that is not continue.
 */
function run(commands: string, protocol = 0, version = 6): string {
  const order = new LibmilterOrder();
  assert(order.take(SMFIC.OPTNEG, false, 0) && order.asks);
  order.agree(version, protocol);
  return commands.split(" ").map((word) => {
    const passive = word.startsWith("(");
    const letters = word.replace(/[()]/g, "");
    const [code, stage] = [letters.charCodeAt(0), letters.charCodeAt(1)];
    let sent: boolean;
    try {
      sent = order.take(code, passive, stage);
    } catch (error) {
      return (error as Error).message.includes("would not answer") ? "!" : String(error);
    }
    assert(!(order.asks && order.instead !== undefined));
    assert(sent || !order.asks);
    const verdict = VERDICTS[letters.split("=")[1] ?? "c"];
    if (order.asks) order.answered(verdict, code);
    const instead = order.instead === undefined || order.instead.kind === "continue"
      ? ""
      : `:${order.instead.kind}`;
    return (order.aborts ? "A" : "") + (sent ? letters[0] : letters[0].toLowerCase()) + instead;
  }).join(" ");
}

const ROWS: readonly [name: string, commands: string, sent: string, protocol?: number, version?: number][] = [
  ["a mail", "C H M R T L N B E", "C H M R T L N B E"],
  ["an abort after a mail is none", "C H M R T L N B E A A M R A A", "C H M R T L N B E a a M R A a"],
  ["Sendmail: no abort between mails", "C M R T L N E M R T L N E", "C M R T L N E M R T L N E"],
  ["a mail in place of an open one", "C H M R M R L N E", "C H M R AM R L N E"],
  ["Postfix: HELO first, then abort", "C H M R H A M R", "C H M R AH a M R"],
  ["a refused MAIL is no mail", "C M=r A M=t A M", "C M a M a M"],
  ["accepted at RCPT", "C M R=a (R) (T) (L) A M", "C M R r t l a M"],
  ["libmilter stays in a mail that is discarded at RCPT", "C M R=d A M", "C M R A M"],
  ["refused recipients", "C M R=r R=t R T L", "C M R R R T L"],
  ["after a refused DATA the refusal holds", "C M R T=r R T A M R T", "C M R T r:reject t:reject a M R T"],
  [
    "also for whoever goes on with the mail",
    "C M R T=t L N B E M",
    "C M R T l:tempfail n:tempfail b:tempfail e:tempfail M",
  ],
  ["a mail without MAIL", "C R", "C !"],
  ["content without a recipient", "C M T", "C M !"],
  ["an end without the end of the header", "C M R L E", "C M R L !"],
  ["a body without the end of the header", "C M R T B", "C M R T !"],
  ["recipients after DATA", "C M R T R", "C M R T !"],
  ["unknown commands", "U C U H U M U R U U T U L U N", "u C U H U M U R U U T u L u N"],
  ["an unknown command, then a new mail", "C M U M R U A U E", "C M U AM R U A U !"],
  ["without DATA to come, no unknown command in a mail", "C U M U R U L", "C U M u R u L", SMFIP.NODATA],
  ["accepted at an unknown command", "C M U=a R T L A M", "C M U r t l a M"],
  ["accepted at an unknown command outside a mail", "C U=a M R", "C U M R"],
  ["enough of the body", "C M R N B=s B B E M R N B", "C M R N B b b E M R N B"],
  ["skip means nothing elsewhere", "C M R=s R L=s L N B", "C M R R L L N B"],
  ["macros", "DC C DH H DM M DR R DT T DL L DN N DB B DE E DU U", "D C D H D M D R D T D L D N D B D E D U"],
  ["macros of what is not wanted", "DM M DR R DT", "D m D r D", SMFIP.NOMAIL | SMFIP.NORCPT],
  ["version 2 has no DATA and no unknown command", "C DT T DU U M R L", "C d t d u M R L", 0, 2],
  ["version 3 has no DATA", "C DU U M DT T U R L", "C D U M d t u R L", 0, 3],
  ["without MAIL", "C H M R L N E M R A R", "C H m R L N E m R A R", SMFIP.NOMAIL],
  ["without RCPT", "C H M R T L N E", "C H M r T L N E", SMFIP.NORCPT],
  [
    "only the body",
    "C H M R T L N B B E M R T L N B",
    "c h m r t l n B B E m r t l n B",
    SMFIP.NOCONNECT | SMFIP.NOHELO | SMFIP.NOMAIL | SMFIP.NORCPT | SMFIP.NODATA | SMFIP.NOHDRS | SMFIP.NOEOH,
  ],
  ["a new mail while MAIL is not wanted", "C R M R", "C R Am R", SMFIP.NOMAIL],
];

for (const [name, commands, sent, protocol, version] of ROWS) {
  Deno.test(`order: ${name}`, () => assert.equal(run(commands, protocol, version), sent));
}

Deno.test("order: what the milter does not answer is answered here", () => {
  const order = new LibmilterOrder();
  order.agree(6, SMFIP.NR_MAIL);
  assert(order.take(SMFIC.MAIL, false, 0));
  assert.deepEqual([order.asks, order.instead], [false, { kind: "continue" }]);
  assert(order.take(SMFIC.RCPT, false, 0));
  assert.deepEqual([order.asks, order.instead], [true, undefined]);
});
