/**
 * One mail on its way through a milter, stage by stage.
 *
 * @module
 */
import { type Agreement, type Reply, SMFIC, SMFIP } from "../protocol/mod.ts";
import type { MtaAnswer, MtaCommand } from "../session/mta_types.ts";
import {
  applyReplies,
  bracketed,
  type Dialect,
  type EditedMail,
  withoutLeadingSpace,
} from "./edited_mail.ts";
import { parseMail, renderMail, type WireMail } from "./eml.ts";
import type { MacroFacts } from "./mta_values.ts";
import type { TestMail } from "./test_mail.ts";
import type { TraceEntry } from "./trace.ts";

/** The mail to send; client and HELO belong to the connection. */
export type MailSource = Omit<TestMail, "client" | "helo">;

/** The stages of a mail. */
export type MailStage = "mail" | "rcpt" | "data" | "header" | "endOfHeaders" | "body" | "endOfMessage";

/** How to send it. */
export interface SendOptions {
  /** Break off after this stage (the first field, the first piece of body), as a client that sends RSET or goes away. */
  readonly abortAfter?: Exclude<MailStage, "endOfMessage">;
}

/** What the filter made of one mail. */
export interface SentMail {
  /** The verdict on the mail; `continue` if nothing objected, or if it was broken off. */
  readonly verdict: MtaAnswer["verdict"];
  /** The reply of the filter's own for the SMTP client. */
  readonly reply: string | undefined;
  /** The stage at which the verdict fell, or the mail was broken off. */
  readonly stage: "connect" | "helo" | MailStage;
  /** Recipients that the filter refused, with the reply of each if it has one. */
  readonly refused: readonly { readonly recipient: string; readonly reply: string | undefined }[];
  /** The edits, in the order they came in. */
  readonly edits: readonly Reply[];
  /** The mail as the MTA passes it on; undefined if it is refused, discarded or broken off. */
  readonly mail: EditedMail | undefined;
  /** The same as a file, CRLF line ends. */
  readonly message: string | undefined;
  /** The frames of this mail; with the first one, those of CONNECT and HELO. */
  readonly trace: readonly TraceEntry[];
  /** What the filter should not do, although mail servers let it pass. */
  readonly warnings: readonly string[];
}

/** What sending needs of the client. */
export interface Carrier {
  readonly dialect: Dialect;
  readonly agreement: Agreement;
  readonly over: boolean;
  readonly ended: MtaAnswer | undefined;
  command(
    command: MtaCommand,
  ): Promise<{ readonly answer: MtaAnswer | undefined; readonly edits: readonly Reply[] }>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const EMPTY = new Uint8Array(0);

/** The SMTP client of a test mail as SMFIC_CONNECT. A path is a Unix socket, an empty address an unknown one. */
export function connectCommand(client: NonNullable<TestMail["client"]>): MtaCommand {
  const { host = "client.example.org", address = "192.0.2.1", port = 40_000 } = client;
  const family = address === ""
    ? "unknown"
    : address.startsWith("/")
    ? "unix"
    : address.includes(":")
    ? "inet6"
    : "inet";
  return { kind: "connect", host: encoder.encode(host), family, port, address: encoder.encode(address) };
}

/** Sends a mail over a connection that has said HELO. */
export async function transmit(
  carrier: Carrier,
  source: MailSource,
  options: SendOptions,
  facts: (facts: Partial<MacroFacts>) => void,
): Promise<Omit<SentMail, "trace" | "warnings">> {
  const sending = new Sending(carrier, source, options, facts);
  await sending.run();
  return sending.result();
}

class Sending {
  readonly #carrier: Carrier;
  readonly #wire: WireMail;
  readonly #sender: string;
  readonly #senderArgs: readonly string[];
  readonly #wanted: readonly string[];
  readonly #abortAfter: SendOptions["abortAfter"];
  readonly #facts: (facts: Partial<MacroFacts>) => void;
  readonly #recipients: string[] = [];
  readonly #refused: { recipient: string; reply: string | undefined }[] = [];
  readonly #edits: Reply[] = [];
  #verdict: MtaAnswer["verdict"] = "continue";
  #reply: string | undefined;
  #stage: SentMail["stage"] = "endOfMessage";
  #brokenOff = false;

  constructor(
    carrier: Carrier,
    source: MailSource,
    options: SendOptions,
    facts: (facts: Partial<MacroFacts>) => void,
  ) {
    const { message = "Subject: test\n\nTest.\n", sender = "sender@example.org", senderArgs = [] } = source;
    this.#carrier = carrier;
    this.#wire = parseMail(typeof message === "string" ? encoder.encode(message) : message);
    this.#sender = bracketed(sender);
    this.#senderArgs = senderArgs;
    this.#wanted = (source.recipients ?? ["recipient@example.com"]).map(bracketed);
    this.#abortAfter = options.abortAfter;
    this.#facts = facts;
  }

  async run(): Promise<void> {
    if (this.#carrier.over) {
      this.#take(this.#carrier.ended!, this.#carrier.ended!.command === SMFIC.CONNECT ? "connect" : "helo");
      // A filter that accepted the connection sees nothing of the mail, and all recipients get it.
      this.#recipients.push(...this.#wanted);
      return;
    }
    this.#facts({ sender: bare(this.#sender), messageId: this.#messageId() });
    const args = this.#senderArgs.map((arg) => encoder.encode(arg));
    if (await this.#say("mail", { kind: "mail", address: encoder.encode(this.#sender), args })) {
      this.#recipients.push(...this.#wanted);
      return;
    }
    if (await this.#sayRecipients()) return;
    if (await this.#say("data", { kind: "data" })) return;
    for (const { rawName: name, raw: value } of this.#wire.fields) {
      if (await this.#say("header", { kind: "header", name, value })) return;
    }
    if (await this.#say("endOfHeaders", { kind: "endOfHeaders" })) return;
    const { body } = this.#wire;
    const { dataSize } = this.#carrier.agreement;
    for (let at = 0; at < body.length; at += dataSize) {
      if (await this.#say("body", { kind: "body", chunk: body.subarray(at, at + dataSize) })) return;
    }
    await this.#say("endOfMessage", { kind: "endOfMessage", chunk: EMPTY });
  }

  result(): Omit<SentMail, "trace" | "warnings"> {
    const refused = this.#verdict === "reject" || this.#verdict === "tempfail" || this.#verdict === "discard";
    const mail = refused || this.#brokenOff ? undefined : this.#edited();
    return {
      verdict: this.#verdict,
      reply: this.#reply,
      stage: this.#stage,
      refused: this.#refused,
      edits: this.#edits,
      mail,
      message: mail === undefined ? undefined : decoder.decode(renderMail(mail)),
    };
  }

  #edited(): EditedMail {
    const spaced = (this.#carrier.agreement.protocol & SMFIP.HDR_LEADSPC) !== 0;
    const edits = spaced ? withoutLeadingSpace(this.#edits) : this.#edits;
    const mail = { ...this.#wire, sender: this.#sender, recipients: this.#recipients };
    return applyReplies(mail, edits, this.#carrier.dialect);
  }

  /** True if nothing more is to be sent of this mail. */
  async #sayRecipients(): Promise<boolean> {
    for (const recipient of this.#wanted) {
      this.#facts({ recipient: bare(recipient) });
      const command = { kind: "rcpt", address: encoder.encode(recipient), args: [] } as const;
      const { answer } = await this.#carrier.command(command);
      if (answer?.verdict === "reject" || answer?.verdict === "tempfail") {
        this.#refused.push({ recipient, reply: answer.reply });
        this.#take(answer, "rcpt");
        if (answer.ends !== "command") return true;
        continue;
      }
      this.#recipients.push(recipient);
      this.#facts({ accepted: true });
      if (answer?.ends === "mail" || answer?.ends === "connection") {
        this.#take(answer, "rcpt");
        this.#recipients.push(...this.#wanted.slice(this.#recipients.length + this.#refused.length));
        return true;
      }
    }
    if (this.#recipients.length === 0) {
      // An SMTP client with no recipient left gives up.
      await this.#carrier.command({ kind: "abort" });
      return true;
    }
    this.#verdict = "continue";
    this.#reply = undefined;
    this.#stage = "endOfMessage";
    return await this.#breakOff("rcpt");
  }

  /** Sends a command; true if nothing more is to be sent of this mail. */
  async #say(stage: MailStage, command: MtaCommand): Promise<boolean> {
    const { answer, edits } = await this.#carrier.command(command);
    this.#edits.push(...edits);
    if (answer !== undefined && answer.ends !== "nothing") {
      this.#take(answer, stage);
      // The client does not go on after a refused DATA.
      if (answer.ends === "command") await this.#carrier.command({ kind: "abort" });
      return true;
    }
    return await this.#breakOff(stage);
  }

  async #breakOff(stage: MailStage): Promise<boolean> {
    if (stage !== this.#abortAfter) return false;
    this.#brokenOff = true;
    this.#stage = stage;
    await this.#carrier.command({ kind: "abort" });
    return true;
  }

  #take(answer: MtaAnswer, stage: SentMail["stage"]): void {
    this.#verdict = answer.verdict;
    this.#reply = answer.reply;
    this.#stage = stage;
  }

  #messageId(): string | undefined {
    return this.#wire.fields.find((field) => field.name.toLowerCase() === "message-id")?.value;
  }
}

function bare(address: string): string {
  return address.replace(/^<(.*)>$/, "$1");
}
