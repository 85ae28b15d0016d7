/**
 * The bytes and bits of the milter protocol, under the names that Sendmail's headers give them.
 *
 * @module
 */

/** Command bytes, MTA to filter (SMFIC_*). */
export const SMFIC = Object.freeze({
  ABORT: 0x41, // A
  BODY: 0x42, // B
  CONNECT: 0x43, // C
  MACRO: 0x44, // D
  BODYEOB: 0x45, // E
  HELO: 0x48, // H
  QUIT_NC: 0x4b, // K
  HEADER: 0x4c, // L
  MAIL: 0x4d, // M
  EOH: 0x4e, // N
  OPTNEG: 0x4f, // O
  QUIT: 0x51, // Q
  RCPT: 0x52, // R
  DATA: 0x54, // T
  UNKNOWN: 0x55, // U
});

/** Reply bytes, filter to MTA (SMFIR_*). */
export const SMFIR = Object.freeze({
  ADDRCPT: 0x2b, // +
  DELRCPT: 0x2d, // -
  ADDRCPT_PAR: 0x32, // 2
  SHUTDOWN: 0x34, // 4
  ACCEPT: 0x61, // a
  REPLBODY: 0x62, // b
  CONTINUE: 0x63, // c
  DISCARD: 0x64, // d
  CHGFROM: 0x65, // e
  CONN_FAIL: 0x66, // f
  ADDHEADER: 0x68, // h
  INSHEADER: 0x69, // i
  CHGHEADER: 0x6d, // m
  PROGRESS: 0x70, // p
  QUARANTINE: 0x71, // q
  REJECT: 0x72, // r
  SKIP: 0x73, // s
  TEMPFAIL: 0x74, // t
  REPLYCODE: 0x79, // y
});

/** Action flags: what a filter may do at the end of a message (SMFIF_*). */
export const SMFIF = Object.freeze({
  ADDHDRS: 0x001,
  CHGBODY: 0x002,
  ADDRCPT: 0x004,
  DELRCPT: 0x008,
  CHGHDRS: 0x010,
  QUARANTINE: 0x020,
  CHGFROM: 0x040,
  ADDRCPT_PAR: 0x080,
  SETSYMLIST: 0x100,
});

/** Protocol flags: what is not sent (NO*), not answered (NR_*), or done otherwise (SMFIP_*). */
export const SMFIP = Object.freeze({
  NOCONNECT: 0x00000001,
  NOHELO: 0x00000002,
  NOMAIL: 0x00000004,
  NORCPT: 0x00000008,
  NOBODY: 0x00000010,
  NOHDRS: 0x00000020,
  NOEOH: 0x00000040,
  NR_HDR: 0x00000080,
  NOUNKNOWN: 0x00000100,
  NODATA: 0x00000200,
  SKIP: 0x00000400,
  RCPT_REJ: 0x00000800,
  NR_CONN: 0x00001000,
  NR_HELO: 0x00002000,
  NR_MAIL: 0x00004000,
  NR_RCPT: 0x00008000,
  NR_DATA: 0x00010000,
  NR_UNKN: 0x00020000,
  NR_EOH: 0x00040000,
  NR_BODY: 0x00080000,
  HDR_LEADSPC: 0x00100000,
  MDS_256K: 0x10000000,
  MDS_1M: 0x20000000,
});

/** Stage numbers of the macro lists in an option reply (SMFIM_*). End of message comes before end of headers. */
export const SMFIM = Object.freeze({ CONNECT: 0, HELO: 1, ENVFROM: 2, ENVRCPT: 3, DATA: 4, EOM: 5, EOH: 6 });

/** Lowest and highest protocol version spoken. */
export const MIN_VERSION = 2;
export const MAX_VERSION = 6;

/** Payload bytes of one frame: the default, and the sizes negotiated with MDS_256K and MDS_1M. One less than the round number. */
export const DATA_SIZE = 65_535;
export const DATA_SIZE_256K = 262_143;
export const DATA_SIZE_1M = 1_048_575;

/** Milter name of a command or reply byte for messages: the letter where it prints, else hex. */
export function letter(code: number): string {
  return code > 0x20 && code < 0x7f
    ? `'${String.fromCharCode(code)}'`
    : `0x${code.toString(16).padStart(2, "0")}`;
}
