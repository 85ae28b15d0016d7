/**
 * Strangers on the port: other protocols, told from their first bytes.
 *
 * @module
 */

const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/^(GET|PUT|POST|HEAD|OPTIONS|PRI|CONNECT|DELETE|PATCH|TRACE) ?/, "an HTTP client"],
  [/^HTTP\//, "an HTTP server's answer"],
  [/^(EHLO|HELO|LHLO|MAIL|QUIT|RSET|NOOP|STAR)/i, "an SMTP client"],
  [/^(220[ -]|250[ -]|421[ -]|554[ -])/, "an SMTP server's greeting"],
  [/^[nz]?(PING|VERSION|INSTREAM|SCAN|CONTSCAN|MULTISCAN|STATS|IDSESSION|FILDES)/, "a clamd client"],
  [/^(UNKN|PONG|stream:)/, "clamd's answer"],
  [/^SSH-/, "an SSH client"],
  [/^(\*[0-9]+\r|AUTH|INFO)/, "a Redis client"],
  [/^PROXY /, "the PROXY protocol"],
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
  for (const [pattern, who] of TEXTS) {
    if (pattern.test(text)) {
      return `the peer is ${who} (it sent ${shown}); this is a milter port, for an MTA only`;
    }
  }
  if (text.length >= 4) return `the peer sent the text ${shown}; this is a milter port, for an MTA only`;
  return undefined;
}
