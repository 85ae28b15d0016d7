/**
 * What Postfix and Sendmail check in a filter's replies (milter-protocol, 4.1 to 4.9).
 *
 * @module
 */
import { type Agreement, ProtocolError, type Reply, SMFIF, SMFIP } from "../protocol/mod.ts";
import type { MtaDialect } from "./mta_dialect.ts";

const decoder = new TextDecoder();

/** The flag that each edit needs. */
const FLAGS: Partial<Record<Reply["kind"], keyof typeof SMFIF>> = {
  addHeader: "ADDHDRS",
  insertHeader: "ADDHDRS",
  changeHeader: "CHGHDRS",
  replaceBody: "CHGBODY",
  addRecipient: "ADDRCPT",
  addRecipientWithArgs: "ADDRCPT_PAR",
  removeRecipient: "DELRCPT",
  changeSender: "CHGFROM",
  quarantine: "QUARANTINE",
};

/** A SMFIR_REPLYCODE, read. */
export interface ReplyText {
  /** 400 to 599. */
  readonly code: number;
  /** As the SMTP client sees it: percent signs single, lines parted by CRLF. */
  readonly text: string;
  /** What an MTA tolerates today and should not be relied on. */
  readonly warnings: readonly string[];
}

/**
 * Reads the text of a SMFIR_REPLYCODE.
 *
 * @throws {ProtocolError} `bad-value` for what one of the two MTAs refuses, or what would hang the SMTP client.
 */
export function readReplyText(bytes: Uint8Array): ReplyText {
  const raw = decoder.decode(bytes);
  const warnings: string[] = [];
  const lines = raw.split("\r\n");
  const bareEnds = lines.some((line) => line.includes("\n"));
  const parts = bareEnds ? raw.split(/\r?\n/) : lines;
  if (parts.at(-1) === "" && parts.length > 1) refuse(raw, "it ends with a line end");
  const code = parts[0].slice(0, 3);
  if (!/^[45][0-9][0-9]$/.test(code)) refuse(raw, "it does not start with a code from 400 to 599");
  parts.forEach((line, i) => {
    const last = i === parts.length - 1;
    if (line.slice(0, 3) !== code) refuse(raw, `line ${i + 1} does not start with ${code}`);
    if (line[3] !== (last ? " " : "-")) {
      refuse(raw, `line ${i + 1} has no ${last ? "blank" : '"-"'} after the code`);
    }
    const enhanced = /^([0-9])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)/.exec(line.slice(4));
    if (enhanced === null) warnings.push(`Line ${i + 1} of the reply has no enhanced status code`);
    else if (enhanced[1] !== code[0]) {
      refuse(raw, `enhanced status code "${enhanced[0].trim()}" is not of class ${code[0]}`);
    }
    if (/[^\t\P{Cc}]/u.test(line)) refuse(raw, `line ${i + 1} has a control character`);
    if (line.length > 980) {
      warnings.push(`Line ${i + 1} of the reply has ${line.length} characters, over 980`);
    }
  });
  if (bareEnds) warnings.push("The reply parts its lines with LF; Postfix of 2026-08 and later wants CRLF");
  if (/%/.test(raw.replaceAll("%%", ""))) {
    warnings.push("The reply has a single %: Sendmail then drops the whole text, Postfix the %; write %%");
  }
  return { code: Number(code), text: parts.join("\r\n").replaceAll("%%", "%"), warnings };
}

function refuse(raw: string, why: string): never {
  throw new ProtocolError(
    "bad-value",
    `Cannot use reply 'y' (SMFIR_REPLYCODE) ${
      JSON.stringify(raw.slice(0, 200))
    }: ${why}; expected "550 5.7.1 text"`,
  );
}

/** What is odd about an edit at the end of a message: both MTAs take it, with results that nobody wants. */
export function oddEdit(reply: Reply, agreement: Agreement, dialect: MtaDialect): string[] {
  const odd: string[] = [];
  const flag = FLAGS[reply.kind];
  if (flag !== undefined && (agreement.actions & SMFIF[flag]) === 0) {
    odd.push(
      `The filter did not negotiate SMFIF_${flag} and sends ${reply.kind} all the same` +
        (flag === "CHGBODY" && dialect === "sendmail" ? "; Sendmail answers the mail with 451" : ""),
    );
  }
  switch (reply.kind) {
    case "addHeader":
    case "insertHeader":
    case "changeHeader": {
      const name = decoder.decode(reply.name);
      if (!/^[!-9;-~]+$/.test(name)) {
        odd.push(`Header name ${JSON.stringify(name)} is not printable ASCII without colon`);
      }
      oddValue(name, reply.value, agreement, odd);
      break;
    }
    case "quarantine":
      if (reply.reason.length === 0) odd.push("The quarantine has no reason");
      if (reply.reason.some((byte) => byte === 0x0a || byte === 0x0d)) {
        odd.push("The quarantine reason has a line end");
      }
      break;
  }
  return odd;
}

function oddValue(name: string, value: Uint8Array, agreement: Agreement, odd: string[]): void {
  const of = `The value of header ${JSON.stringify(name.slice(0, 80))}`;
  if (value.includes(0x0d)) odd.push(`${of} has a CR, which stays in the mail: fold with LF and a blank`);
  const broken = value.some((byte, i) => byte === 0x0a && value[i + 1] !== 0x20 && value[i + 1] !== 0x09);
  if (broken) {
    odd.push(`${of} has a line end without a blank behind it; Postfix adds a tab, Sendmail makes it a blank`);
  }
  const spaced = (agreement.protocol & SMFIP.HDR_LEADSPC) !== 0;
  if (spaced && value.length > 0 && value[0] !== 0x20 && value[0] !== 0x09) {
    odd.push(`${of} has no leading blank, although the filter negotiated SMFIP_HDR_LEADSPC`);
  }
}
