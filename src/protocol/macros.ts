/**
 * Macro values and how long they hold: one set a stage, as libmilter keeps them (milter-protocol, 3.8).
 *
 * @module
 */
import { MAX_STRINGS } from "./bytes.ts";
import { parseMacroPairs } from "./command.ts";
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
/** Bytes of one macro frame: as much as a frame of the default data size holds. */
const MAX_BYTES = DATA_SIZE;
const LEVEL_OF = new Int8Array(256).fill(-1);
for (const [code, level] of LEVELS) LEVEL_OF[code] = level;

/** The macros of one connection. Payloads are kept as bytes and read only when asked for. */
export class MacroStore {
  readonly #bytes: (Uint8Array | undefined)[] = new Array(COUNT).fill(undefined);
  readonly #lengths = new Uint32Array(COUNT);
  readonly #values: (Map<string, string> | undefined)[] = new Array(COUNT).fill(undefined);

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
      const value = this.#level(level)?.get(bare);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #level(level: number): Map<string, string> | undefined {
    const bytes = this.#bytes[level];
    if (bytes === undefined || this.#lengths[level] === 0) return undefined;
    let values = this.#values[level];
    if (values === undefined) {
      values = new Map();
      for (const [name, value] of parseMacroPairs(bytes, 0, this.#lengths[level])) {
        values.set(bareName(decoder.decode(name)), decoder.decode(value));
      }
      this.#values[level] = values;
    }
    return values;
  }

  #forgetAfter(level: number): void {
    for (let i = level + 1; i < COUNT; i++) this.#forget(i);
  }

  #forget(level: number): void {
    this.#lengths[level] = 0;
    this.#values[level] = undefined;
  }
}

function bareName(name: string): string {
  return name.length > 2 && name.startsWith("{") && name.endsWith("}") ? name.slice(1, -1) : name;
}

function same(kept: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (kept[i] !== bytes[start + i]) return false;
  return true;
}
