/**
 * One mail as it comes in: envelope, header, body, and what the filter's hooks keep beside it.
 *
 * @module
 */
import {
  type Body,
  type Edit,
  type EnvelopeAddress,
  HeaderBlock,
  HeaderField,
  HeaderList,
  type Verdict,
} from "../filter/mod.ts";
import { copyBytes, room } from "../protocol/mod.ts";

const decoder = new TextDecoder();

/** Bytes for the first fields of a mail: as much as most headers have. */
const FIRST_BLOCK = 2048;

/** Mutable state of one mail. */
export class Transaction {
  sender: EnvelopeAddress | undefined;
  readonly recipients: EnvelopeAddress[] = [];
  readonly fields: HeaderField[] = [];
  readonly headers: HeaderList = new HeaderList(this.fields);
  readonly body = new CollectedBody();
  /** The hooks' own values for this mail. */
  readonly locals: Record<string, unknown> = {};
  edits: Edit[] = [];
  /** The recipient whose RCPT is being answered; it counts once it is accepted. */
  candidate: EnvelopeAddress | undefined;
  /** Recipients that the filter refused. */
  refused = 0;
  /** The last refusal that left the mail open: of a recipient, or of DATA. */
  refusal: { readonly code: number; readonly verdict: Verdict } | undefined;
  /** Bytes of header names and values so far. */
  headerBytes = 0;
  /** The hooks of the end of the message have been called. */
  ending = false;
  /** Body chunks are no longer given to the `body` hook. */
  skipped = false;
  /** Time spent in hooks is part of it: when the mail began, in milliseconds. */
  readonly began: number;

  /** Where the next field goes. */
  #block: HeaderBlock | undefined;
  #controller: AbortController | undefined;
  #aborted = false;

  /** @param began Time of the first command of the mail, in milliseconds. */
  constructor(began: number) {
    this.began = began;
  }

  /** The filter let the candidate pass; one that the MTA itself refused does not count all the same. */
  acceptCandidate(): void {
    if (this.candidate !== undefined && this.candidate.refused === undefined) {
      this.recipients.push(this.candidate);
    }
    this.candidate = undefined;
  }

  /** Keeps a header payload (`name NUL value`), copied into a block shared by many fields. */
  addField(bytes: Uint8Array, start: number, nameEnd: number, end: number): HeaderField {
    const length = end - start;
    const block = this.#room(length);
    const at = block.end;
    copyBytes(bytes, start, end, block.bytes, at);
    block.end = at + length;
    this.headerBytes += length;
    const field = new HeaderField(block, at, at + nameEnd - start, at + length);
    this.fields.push(field);
    return field;
  }

  #room(length: number): HeaderBlock {
    const block = this.#block;
    if (block !== undefined && block.end + length <= block.bytes.length) return block;
    // Fields given out keep the old block.
    const size = block === undefined ? FIRST_BLOCK : block.bytes.length * 2;
    return this.#block = new HeaderBlock(room(Math.max(length, size)), 0);
  }

  /** Aborted when the mail ends without a verdict or a hook's time is up. Made when first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** Aborts the signal. */
  abort(reason: string): void {
    this.#aborted = true;
    this.#controller?.abort(new DOMException(reason, "AbortError"));
  }
}

/** A body kept as the chunks it came in; joined when first read as a whole. */
export class CollectedBody implements Body {
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Keeps a chunk; the bytes are the body's own from now on. */
  add(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    if (this.#chunks.length !== 1) {
      const whole = new Uint8Array(this.#size);
      let at = 0;
      for (const chunk of this.#chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
      this.#chunks = [whole];
    }
    return this.#chunks[0];
  }

  text(): string {
    return decoder.decode(this.bytes());
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const chunks = this.#chunks;
    let next = 0;
    return new ReadableStream({
      pull(controller) {
        if (next === chunks.length) controller.close();
        else controller.enqueue(chunks[next++]);
      },
    });
  }
}
