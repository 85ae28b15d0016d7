/** Drives a link's session as the server's connection does, command by command. */
import {
  type Command,
  encodeCommand,
  FrameReader,
  FrameWriter,
  parseReply,
  type Reply,
} from "../../src/protocol/mod.ts";
import type { Link, LinkSession } from "../../src/chain/link.ts";
import type { MailReport, SessionHost } from "../../src/session/plan.ts";
import type { Failure } from "../../src/session/policy.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a session told its host. */
export class Notes implements SessionHost {
  readonly mails: MailReport[] = [];
  readonly failures: Failure[] = [];
  readonly log = { debug() {}, info() {}, warn() {}, error() {} };
  now(): number {
    return performance.now();
  }
  mail(report: MailReport): void {
    this.mails.push(report);
  }
  failure(failure: Failure): void {
    this.failures.push(failure);
  }
}

/** One MTA connection on a link. */
export class Driver {
  readonly notes: Notes;
  readonly session: LinkSession;
  readonly #out = new FrameWriter();
  readonly #reader = new FrameReader();
  readonly #deadline: number;

  /** @param deadline Of each command, ms. */
  constructor(link: Pick<Link, "open">, deadline = 10_000, answerData = false) {
    this.notes = new Notes();
    this.session = link.open(this.notes, answerData);
    this.#deadline = deadline;
  }

  /** Sends one command; the bytes of all replies. */
  async bytes(command: Command): Promise<Uint8Array> {
    const writer = new FrameWriter();
    encodeCommand(command, writer);
    this.#reader.held = false;
    this.#reader.push(writer.take().slice());
    if (!this.#reader.next()) throw new Error("half a command");
    let pending = this.session.receive(this.#reader, this.#out);
    this.#reader.held = pending !== undefined;
    while (pending !== undefined) {
      if (await this.#settles(pending)) break;
      pending = this.session.expire(this.#out, this.#deadline);
    }
    this.#reader.held = false;
    return this.#out.take().slice();
  }

  /** Sends one command; its replies in words. */
  async say(command: Command): Promise<string[]> {
    return repliesIn(await this.bytes(command));
  }

  /** Negotiation, connect and helo. */
  async begin(
    host = "client.example",
    offer: Partial<Extract<Command, { kind: "negotiate" }>> = {},
  ): Promise<string[]> {
    const first = await this.say({
      kind: "negotiate",
      version: 6,
      actions: 0x1ff,
      protocol: 0x1fffff,
      ...offer,
    });
    const connect = await this.say(connectFrom(host));
    const helo = await this.say({ kind: "helo", name: encoder.encode("helo.example") });
    return [...first, ...connect, ...helo];
  }

  /** One mail; all replies in words. Stops where a reply ends the mail. */
  async mail(
    sender = "a@client.example",
    body: readonly Uint8Array[] = [encoder.encode("hello\r\n")],
  ): Promise<string[]> {
    const replies: string[] = [];
    for (const command of mailCommands(sender, body)) {
      const words = await this.say(command);
      replies.push(...words);
      const last = words.at(-1) ?? "continue";
      if (!/^(?:continue|skip)/.test(last) && command.kind !== "rcpt") break;
    }
    return replies;
  }

  /** Goes away; waits for the last hooks. */
  async lost(): Promise<void> {
    let pending = this.session.lost();
    while (pending !== undefined) {
      if (await this.#settles(pending)) return;
      pending = this.session.expire(this.#out, this.#deadline);
    }
  }

  async #settles(pending: Promise<void>): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), this.#deadline));
    try {
      return await Promise.race([pending.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** SMFIC_CONNECT of a client of that name. */
export function connectFrom(host: string): Command {
  return {
    kind: "connect",
    host: encoder.encode(host),
    family: "inet",
    port: 25,
    address: encoder.encode("192.0.2.1"),
  };
}

/** The commands of one mail. */
export function mailCommands(sender: string, body: readonly Uint8Array[]): Command[] {
  return [
    { kind: "mail", address: encoder.encode(`<${sender}>`), args: [] },
    { kind: "rcpt", address: encoder.encode("<one@lab.example>"), args: [] },
    { kind: "data" },
    { kind: "header", name: encoder.encode("Subject"), value: encoder.encode("test") },
    { kind: "endOfHeaders" },
    ...body.map((chunk): Command => ({ kind: "body", chunk })),
    { kind: "endOfMessage", chunk: new Uint8Array(0) },
  ];
}

/** The replies in bytes, in words. */
export function repliesIn(bytes: Uint8Array): string[] {
  const reader = new FrameReader();
  reader.push(bytes);
  const words: string[] = [];
  while (reader.next()) words.push(wordsOf(parseReply(reader.code, reader.bytes, reader.start, reader.end)));
  return words;
}

function wordsOf(reply: Reply): string {
  const values = Object.entries(reply).filter(([name]) => name !== "kind").map(([, value]) =>
    value instanceof Uint8Array
      ? decoder.decode(value)
      : Array.isArray(value)
      ? `[${value.length}]`
      : String(value)
  );
  return [reply.kind, ...values].join(" ");
}
