/**
 * Macro values and how long they hold: one set a stage, as libmilter keeps them (milter-protocol, 3.8).
 *
 * @module
 */
import { MAX_STRINGS } from "./bytes.ts";
import { DATA_SIZE, SMFIC } from "./codes.ts";
import { ProtocolError } from "./errors.ts";

const decoder = new TextDecoder();

/** Stages from the earliest to the latest; look-up goes backwards. Postfix's header and body macros are those of EOH and end. */
const LEVELS = new Map<number, number>([
  [SMFIC.CONNECT, 0],
  [SMFIC.HELO, 1],
  [SMFIC.MAIL, 2],
  [SMFIC.RCPT, 3],
  [SMFIC.DATA, 4],
  [SMFIC.HEADER, 5],
  [SMFIC.EOH, 5],
  [SMFIC.BODY, 6],
  [SMFIC.BODYEOB, 6],
  [SMFIC.UNKNOWN, 7],
]);
const COUNT = 8;
const BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Bytes of one macro frame: as much as a frame of the default data size holds. */
const MAX_BYTES = DATA_SIZE;
const LEVEL_OF = new Int8Array(256).fill(-1);
for (const [code, level] of LEVELS) LEVEL_OF[code] = level;

/** The macros of one connection. Payloads are kept as bytes and read only when asked for. */
export class MacroStore {
  readonly #bytes: (Uint8Array | undefined)[] = new Array(COUNT).fill(undefined);
  readonly #lengths = new Uint32Array(COUNT);

  /**
   * Takes the payload of a SMFIC_MACRO frame; it replaces what its stage had. A stage that is not known is passed over.
   *
   * @throws {ProtocolError} `bad-text`, `truncated` or `too-many`.
   */
  set(bytes: Uint8Array, start: number, end: number): void {
    const level = start < end ? LEVEL_OF[bytes[start]] : -1;
    if (level < 0) return;
    // What follows a new stage is outdated, also where its command itself is switched off and only its macros come.
    if (level <= 3) this.#forgetAfter(level);
    const length = end - start - 1;
    if (length > MAX_BYTES) {
      this.#forget(level);
      throw new ProtocolError(
        "too-large",
        `Cannot read command 'D': it has ${length} bytes, the limit is ${MAX_BYTES}`,
      );
    }
    let kept = this.#bytes[level];
    // Postfix repeats the same few bytes before every header.
    if (kept !== undefined && length === this.#lengths[level] && same(kept, bytes, start + 1, length)) return;
    // Nothing holds until all is checked: a refused frame must not leave half of itself.
    this.#forget(level);
    if (kept === undefined || kept.length < length) {
      kept = this.#bytes[level] = new Uint8Array(Math.max(64, length));
    }
    let nuls = 0;
    for (let i = 0; i < length; i++) {
      const byte = kept[i] = bytes[start + 1 + i];
      if (byte === 0) nuls++;
    }
    if (length > 0 && (kept[length - 1] !== 0 || nuls % 2 !== 0)) {
      throw new ProtocolError(
        kept[length - 1] !== 0 ? "bad-text" : "truncated",
        "Cannot read command 'D': it is not a list of names and values, each closed by a NUL",
      );
    }
    if (nuls > MAX_STRINGS) {
      throw new ProtocolError("too-many", `Cannot read command 'D': over ${MAX_STRINGS} strings`);
    }
    this.#lengths[level] = length;
  }

  /** Forgets what a command outdates: the stages after its own. */
  enter(code: number): void {
    const level = LEVEL_OF[code];
    // The frames of a header and body keep all; only connect, helo, mail and rcpt begin something new.
    if (level >= 0 && level <= 3) this.#forgetAfter(level);
  }

  /** Forgets everything (SMFIC_QUIT_NC). */
  clear(): void {
    this.#forgetAfter(-1);
  }

  /**
   * Value by name, latest stage first; `i` and `{i}` are the same. Undefined if the MTA did not send it.
   */
  get(name: string): string | undefined {
    const bare = bareName(name);
    for (let level = COUNT - 1; level >= 0; level--) {
      const value = this.#find(level, bare);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Looks through the bytes of a stage: of a mail's macros few are asked for, so the others are never decoded. */
  #find(level: number, name: string): string | undefined {
    const bytes = this.#bytes[level];
    if (bytes === undefined) return undefined;
    let found: string | undefined;
    for (let at = 0; at < this.#lengths[level];) {
      const nameEnd = bytes.indexOf(0, at);
      const end = bytes.indexOf(0, nameEnd + 1);
      // Of two that have the same name the later one counts.
      if (isNamed(bytes, at, nameEnd, name)) found = decoder.decode(bytes.subarray(nameEnd + 1, end));
      at = end + 1;
    }
    return found;
  }

  #forgetAfter(level: number): void {
    for (let i = level + 1; i < COUNT; i++) this.#forget(i);
  }

  #forget(level: number): void {
    this.#lengths[level] = 0;
  }
}

function bareName(name: string): string {
  return name.length > 2 && name.startsWith("{") && name.endsWith("}") ? name.slice(1, -1) : name;
}

/** Is the name at these bytes this one, which is bare? Bytes are compared; only what is not ASCII is decoded. */
function isNamed(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  if (end - start > 2 && bytes[start] === BRACE && bytes[end - 1] === CLOSING_BRACE) {
    start++;
    end--;
  }
  if (end - start < name.length) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0x7f) return decoder.decode(bytes.subarray(start, end)) === name;
    if (bytes[start + i] !== code) return false;
  }
  return end - start === name.length;
}

function same(kept: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (kept[i] !== bytes[start + i]) return false;
  return true;
}
