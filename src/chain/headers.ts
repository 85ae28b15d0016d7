/**
 * The header as it stands between two links: fields in order, each knowing where it came from, so that what several
 * links changed becomes one list of edits that Postfix and Sendmail read alike (milter-protocol, 4.7).
 *
 * @module
 */
import { HeaderBlock, HeaderField } from "../filter/mod.ts";
import {
  encodeReply,
  type Frame,
  type FrameWriter,
  headerNameEnd,
  OwnFrame,
  type Reply,
  SMFIC,
} from "../protocol/mod.ts";

/** An edit of the header as it comes from a link. */
export type HeaderEdit = Extract<Reply, { readonly kind: "addHeader" | "insertHeader" | "changeHeader" }>;

/** Past the end of any header. */
const FAR = 0x7fffffff;
const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder();

/** A field, as the frame that shows it to a link. */
interface Entry {
  frame: OwnFrame;
  nameEnd: number;
  /** Name in lower case, once it was asked for. */
  name: string | undefined;
  /** Which of the fields of its name it was as the MTA sent them, from 1; 0 for one that a link has added. */
  nth: number;
  changed: boolean;
  /** Where a link has put it: an index, or `h`, whose place on Sendmail is another than that of `i` past the end. */
  readonly put: number | "h";
}

/** The place of the MTA's own Received, which is counted for insertions and shown to nobody. */
const OWN: Entry = Object.freeze({
  frame: new OwnFrame(Uint8Array.of(0, 0, 0, 1, SMFIC.HEADER)),
  nameEnd: 0,
  name: "",
  nth: 0,
  changed: false,
  put: 0,
});

/** Fields in order, under the edits of one link after the other. */
export class ChainHeaders {
  readonly #list: Entry[] = [OWN];
  /** The fields as they came have their numbers; nobody needs these before the first edit. */
  #numbered = false;
  /** Fields that are gone, by name as sent and number as sent. */
  readonly #removed: { readonly name: Uint8Array; readonly nth: number }[] = [];
  #bytes = 0;

  /** Bytes of names and values as they came. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a SMFIC_HEADER frame, by copying it. @throws {ProtocolError} if it is malformed. */
  add(frame: Frame): void {
    const nameEnd = headerNameEnd(frame.bytes, frame.start, frame.end);
    const own = OwnFrame.copy(frame);
    this.#bytes += own.end - own.start;
    this.#list.push({
      frame: own,
      nameEnd: nameEnd - frame.start + own.start,
      name: undefined,
      nth: 0,
      changed: false,
      put: 0,
    });
  }

  /** The fields as frames, top to bottom. */
  frames(): readonly Frame[] {
    const frames: Frame[] = [];
    for (const entry of this.#list) if (entry !== OWN) frames.push(entry.frame);
    return frames;
  }

  /** The fields as filters see them. */
  fields(): HeaderField[] {
    return this.#list.filter((entry) => entry !== OWN).map(({ frame, nameEnd }) =>
      new HeaderField(new HeaderBlock(frame.bytes), frame.start, nameEnd, frame.end - 1)
    );
  }

  /** A copy for whoever looks at it later. */
  snapshot(): ChainHeaders {
    const copy = new ChainHeaders();
    copy.#list.length = 0;
    for (const entry of this.#list) copy.#list.push(entry === OWN ? OWN : { ...entry });
    copy.#numbered = this.#numbered;
    return copy;
  }

  /** Does what the MTA would do. */
  apply(edit: HeaderEdit): void {
    this.#number();
    switch (edit.kind) {
      case "addHeader":
        this.#list.push(made(edit.name, edit.value, "h"));
        return;
      case "insertHeader":
        this.#list.splice(
          Math.min(edit.index, this.#list.length),
          0,
          made(edit.name, edit.value, edit.index),
        );
        return;
      case "changeHeader":
        this.#change(edit);
    }
  }

  #number(): void {
    if (this.#numbered) return;
    this.#numbered = true;
    const counts = new Map<string, number>();
    for (const entry of this.#list) {
      if (entry === OWN) continue;
      const name = nameOf(entry);
      entry.nth = (counts.get(name) ?? 0) + 1;
      counts.set(name, entry.nth);
    }
  }

  #change({ index, name, value }: Extract<HeaderEdit, { kind: "changeHeader" }>): void {
    const wanted = lower(name);
    let left = Math.max(1, index);
    const at = this.#list.findIndex((entry) => entry !== OWN && nameOf(entry) === wanted && --left === 0);
    if (at === -1) {
      // Nothing to remove; a change past the last one is an addition at the end, on both MTAs.
      if (value.length > 0) this.#list.push(made(name, value, FAR));
      return;
    }
    const entry = this.#list[at];
    if (value.length > 0) {
      const { frame, nameEnd } = made(name, value, FAR);
      Object.assign(entry, { frame, nameEnd, changed: true });
      return;
    }
    this.#list.splice(at, 1);
    if (entry.nth > 0) this.#removed.push({ name, nth: entry.nth });
  }

  /**
   * Appends the edits that make of the header as it came the one that stands here. Changes and removals go by the
   * numbers as the MTA sent them, highest first: Postfix counts anew after each, Sendmail does not. Insertions follow
   * from the places that both understand (directly below the own Received, the end, the top); those in between go by
   * Postfix's count.
   */
  encode(out: FrameWriter): void {
    // Nobody has changed a field.
    if (!this.#numbered) return;
    const changes: { readonly name: Uint8Array; readonly nth: number; readonly value: Uint8Array }[] = this
      .#removed
      .map(({ name, nth }) => ({ name, nth, value: EMPTY }));
    for (const { frame, nameEnd, nth, changed } of this.#list) {
      if (nth > 0 && changed) changes.push({ nth, ...partsOf(frame, nameEnd) });
    }
    changes.sort((a, b) => b.nth - a.nth);
    for (const { name, nth, value } of changes) {
      encodeReply({ kind: "changeHeader", index: nth, name, value }, out);
    }
    const own = this.#list.indexOf(OWN);
    const isNew = (entry: Entry): boolean => entry.nth === 0;
    const top = this.#list.slice(0, own);
    const below = this.#list.slice(own + 1);
    const firstOld = below.findIndex((entry) => !isNew(entry));
    const lastOld = below.findLastIndex((entry) => !isNew(entry));
    // Without a field of the mail's own between them, those that were put there are at the top, the others at the end.
    const split = firstOld === -1 ? below.findLastIndex(({ put }) => put === 1) + 1 : firstOld;
    const early = below.slice(0, split);
    const middle = firstOld === -1 ? [] : below.slice(firstOld, lastOld);
    const late = below.slice(Math.max(split, lastOld + 1));
    for (const entry of early.toReversed()) insert(entry, 1, out);
    middle.forEach((entry, i) => isNew(entry) && insert(entry, 1 + early.length + i, out));
    for (const entry of late) {
      if (entry.put === "h") encodeReply({ kind: "addHeader", ...partsOf(entry.frame, entry.nameEnd) }, out);
      else insert(entry, FAR, out);
    }
    for (const entry of top.toReversed()) insert(entry, 0, out);
  }
}

function insert({ frame, nameEnd }: Entry, index: number, out: FrameWriter): void {
  encodeReply({ kind: "insertHeader", index, ...partsOf(frame, nameEnd) }, out);
}

function partsOf(frame: Frame, nameEnd: number): { name: Uint8Array; value: Uint8Array } {
  return {
    name: frame.bytes.subarray(frame.start, nameEnd),
    value: frame.bytes.subarray(nameEnd + 1, frame.end - 1),
  };
}

/** A field that a link has made, as the MTA would show it. */
function made(name: Uint8Array, value: Uint8Array, put: Entry["put"]): Entry {
  const frame = OwnFrame.of(SMFIC.HEADER, name.length + value.length + 2);
  frame.bytes.set(name, frame.start);
  const nameEnd = frame.start + name.length;
  frame.bytes.set(value, nameEnd + 1);
  return { frame, nameEnd, name: undefined, nth: 0, changed: false, put };
}

function nameOf(entry: Entry): string {
  const { frame, nameEnd } = entry;
  return entry.name ??= lower(frame.bytes.subarray(frame.start, nameEnd));
}

function lower(name: Uint8Array): string {
  return decoder.decode(name).toLowerCase();
}
