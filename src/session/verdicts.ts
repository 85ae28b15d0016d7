/**
 * Verdicts on their way to the MTA: checked once more, because a hook may return anything, and encoded.
 *
 * @module
 */
import type { SmtpReply, Verdict } from "../filter/mod.ts";
import { checkReply } from "../filter/verdict.ts";
import { thrownMessage } from "../text/thrown.ts";
import { encodeReply, type FrameWriter, SMFIC, SMFIR } from "../protocol/mod.ts";

type Kind = Verdict["kind"];

const CONNECTION: readonly Kind[] = ["continue", "accept", "reject", "tempfail"];
const MESSAGE: readonly Kind[] = [...CONNECTION, "discard"];

/** Verdicts that both MTAs understand at a stage (milter-protocol, 4.1 to 4.3); others have surprising effects there. */
const LEGAL: ReadonlyMap<number, readonly Kind[]> = new Map([
  [SMFIC.CONNECT, CONNECTION],
  [SMFIC.HELO, CONNECTION],
  [SMFIC.UNKNOWN, ["continue", "reject", "tempfail"]],
  [SMFIC.BODY, [...MESSAGE, "skip"]],
]);

/** What is wrong with what a hook returned at the stage of `code`, or undefined if it is a verdict that is legal there. */
export function checkVerdict(value: unknown, code: number): string | undefined {
  const kind = (value as Verdict | null)?.kind;
  const legal = LEGAL.get(code) ?? MESSAGE;
  if (typeof value !== "object" || kind === undefined || !legal.includes(kind)) {
    const got = typeof value === "object" && kind !== undefined ? `verdict "${kind}"` : describe(value);
    return `it returned ${got}; legal here are nothing, ${legal.join(", ")}`;
  }
  if (kind !== "reject" && kind !== "tempfail") return undefined;
  const { reply } = value as { reply?: SmtpReply };
  if (reply === undefined) return undefined;
  try {
    checkReply(kind === "reject" ? 5 : 4, reply.code, reply.enhanced, reply.lines);
    return undefined;
  } catch (error) {
    return thrownMessage(error);
  }
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "object") return "an object that is no verdict";
  return `the ${typeof value} ${String(value).slice(0, 40)}`;
}

const encoder = new TextEncoder();

const CODES = {
  continue: SMFIR.CONTINUE,
  accept: SMFIR.ACCEPT,
  reject: SMFIR.REJECT,
  tempfail: SMFIR.TEMPFAIL,
  discard: SMFIR.DISCARD,
  skip: SMFIR.SKIP,
} as const;

/** Appends the reply of a checked verdict; one with a text of its own goes as SMFIR_REPLYCODE. */
export function encodeVerdict(verdict: Verdict, out: FrameWriter): void {
  const text = verdictText(verdict);
  if (text === undefined) out.simple(CODES[verdict.kind]);
  // A lone percent sign makes Sendmail drop the whole text: it reads it as a format.
  else encodeReply({ kind: "replyCode", text: encoder.encode(text.replaceAll("%", "%%")) }, out);
}

/** The reply as an SMTP client sees it, lines parted by CRLF; undefined where the MTA uses its own text. */
export function verdictText(verdict: Verdict): string | undefined {
  if ((verdict.kind !== "reject" && verdict.kind !== "tempfail") || verdict.reply === undefined) {
    return undefined;
  }
  const { code, enhanced, lines } = verdict.reply;
  return lines.map((line, i) => `${code}${i < lines.length - 1 ? "-" : " "}${enhanced} ${line}`).join("\r\n");
}
