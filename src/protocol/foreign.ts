/**
 * Strangers on the port: other protocols, told from their first bytes.
 *
 * @module
 */

const HTTP = [
  "GET ",
  "PUT ",
  "POST ",
  "HEAD ",
  "OPTIONS ",
  "CONNECT ",
  "DELETE ",
  "PATCH ",
  "TRACE ",
  "PRI * ",
];
const SMTP = ["EHLO", "HELO", "LHLO", "MAIL", "QUIT", "RSET", "NOOP", "STARTTLS"];
const CLAMD = [
  "PING",
  "VERSION",
  "INSTREAM",
  "SCAN",
  "CONTSCAN",
  "MULTISCAN",
  "STATS",
  "IDSESSION",
  "FILDES",
];

/** What protocols start with. */
const STARTS: readonly (readonly [starts: readonly string[], who: string])[] = [
  [HTTP, "an HTTP client"],
  [["HTTP/"], "an HTTP server's answer"],
  [[...SMTP, ...SMTP.map((verb) => verb.toLowerCase())], "an SMTP client"],
  [["220 ", "220-", "250 ", "250-", "421 ", "421-", "554 ", "554-"], "an SMTP server's greeting"],
  [[...CLAMD, ...CLAMD.map((word) => `n${word}`), ...CLAMD.map((word) => `z${word}`)], "a clamd client"],
  [["UNKNOWN COMMAND", "PONG", "stream: "], "clamd's answer"],
  [["SSH-"], "an SSH client"],
  [["*1\r\n", "*2\r\n", "*3\r\n", "AUTH ", "INFO"], "a Redis client"],
  [["PROXY "], "the PROXY protocol"],
];

/** Names the protocol whose first bytes these are, with what to do; undefined for none that is known. */
export function foreignProtocol(head: Uint8Array): string | undefined {
  if (head[0] === 0x16 && head[1] === 0x03) {
    return "the peer starts TLS; the milter protocol has none, so point the TLS client elsewhere or put a TLS proxy before it";
  }
  if (head[0] === 0x03 && head[1] === 0x00 && head[2] === 0x00) {
    return "the peer speaks RDP; a port scanner may be at work, so let only the MTA reach this port";
  }
  if (head[0] === 0x0d && head[1] === 0x0a && head[2] === 0x0d && head[3] === 0x0a) {
    return "the peer speaks the PROXY protocol version 2; switch it off for this port";
  }
  let text = "";
  for (const byte of head) {
    if ((byte < 0x20 && byte !== 0x0d && byte !== 0x0a && byte !== 0x09) || byte > 0x7e) break;
    text += String.fromCharCode(byte);
  }
  const shown = JSON.stringify(text.slice(0, 16));
  if (text.length < 4) return undefined;
  for (const [starts, who] of STARTS) {
    // The network may have cut in mid-word; four bytes, the place of the length, are always there.
    if (starts.some((start) => text.startsWith(start) || start.startsWith(text))) {
      return `the peer is ${who} (it sent ${shown}); this is a milter port, for an MTA only`;
    }
  }
  return `the peer sent the text ${shown}; this is a milter port, for an MTA only`;
}
