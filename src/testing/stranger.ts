/**
 * Servers that are no milter, told from the first bytes they send: the usual outcome of a wrong port.
 *
 * @module
 */

const decoder = new TextDecoder("latin1");

const STARTS: readonly (readonly [start: RegExp, who: string])[] = [
  [/^HTTP\//, "an HTTP server"],
  [/^<(!DOCTYPE|html)/i, "an HTTP server"],
  [/^(220|421|554)[ -]/, "an SMTP or FTP server; a milter is not reached through the mail server"],
  [/^\* (OK|BYE|PREAUTH)/, "an IMAP server"],
  [/^\+OK/, "a POP3 server"],
  [/^(UNKN|PONG|INSTREAM|COMMAND)/, "clamd itself; point to the port of clamav-milter"],
  [/^-ERR/, "a Redis or POP3 server"],
  [/^SSH-/, "an SSH server"],
  [/^\{/, "a JSON service"],
];

/** Says which server this is; undefined if its bytes say nothing. */
export function strangerOf(head: Uint8Array): string | undefined {
  // A TLS alert record.
  if (head[0] === 0x15 && head[1] === 0x03) return "a TLS server; the milter protocol has no TLS";
  const text = decoder.decode(head.subarray(0, 64));
  const found = STARTS.find(([start]) => start.test(text))?.[1];
  const line = /^[\t\x20-\x7e]{4,}/.exec(text)?.[0];
  if (found === undefined && line === undefined) return undefined;
  const said = line === undefined ? "" : ` (it said ${JSON.stringify(line.slice(0, 40))})`;
  return `${found ?? "some other server"}${said}`;
}
