/**
 * `millrace send`: plays the mail server towards any milter, in any language, and shows what it answers.
 *
 * @module
 */
import { printable } from "../../text/show.ts";
import { parseDuration } from "../../text/units.ts";
import { MAX_VERSION, MIN_VERSION, SMFIC } from "../../protocol/mod.ts";
import { parseMail, renderMail } from "../../testing/eml.ts";
import { MtaClient } from "../../testing/mta_client.ts";
import { MtaClientError, type MtaClientOptions } from "../../testing/mta_client_types.ts";
import type { MailSource, SentMail } from "../../testing/mta_mail.ts";
import type { TraceEntry } from "../../testing/trace.ts";
import { type Address, AddressError, formatAddress, parseAddress } from "../../transport/address.ts";
import { dial } from "../../transport/deno.ts";
import { TransportError } from "../../transport/errors.ts";
import { type Command, CommandError, type Given, UsageError } from "../command.ts";
import { dialectOf, ENVELOPE_OPTIONS, envelopeOf, readMail } from "../envelope_args.ts";
import type { Io } from "../io.ts";
import { colorDiff, mailDiff } from "../mail_diff.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "send",
    summary: "Play the MTA: send mails to any milter and show its replies",
    operands: "SOCKET MAIL.eml…",
    operandCount: [2, 10_000],
    options: [
      { name: "dialect", value: "NAME", summary: "Mail server to play: postfix (default) or sendmail" },
      ...ENVELOPE_OPTIONS,
      {
        name: "macro",
        value: "NAME=VALUE",
        many: true,
        summary: "Value of a macro, such as auth_type=PLAIN",
      },
      {
        name: "protocol-version",
        value: "N",
        summary: "Milter protocol version to offer, 2 to 6; default 6",
      },
      { name: "timeout", value: "TIME", summary: "Longest wait for one reply, such as 10s; default 30s" },
      { name: "macros", summary: "Show the macro frames as well" },
      { name: "whole", summary: "Show the whole edited mail, not only the difference" },
      { name: "json", summary: "Print the results as JSON" },
    ],
    notes: `SOCKET is inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH, as for Sendmail.
MAIL.eml is a mail as a file, with CRLF or LF line ends; - is standard input. All go over one connection, as the mails
of one SMTP client do; a new one is opened where the milter has ended it.

Each line is a frame: > from the mail server, < from the milter, its letter and name, its payload.

Exit codes: 0 the milter answered every mail, whatever its verdict; 1 it could not be reached, did not answer, or broke
the protocol, or a file could not be read; 2 wrong usage.`,
  },
  async run(given, io) {
    const [socket, ...files] = given.operands;
    const address = addressOf(socket);
    const { client, helo, ...envelope } = envelopeOf(given);
    const options: MtaClientOptions = {
      dialect: dialectOf("dialect", given.value("dialect")),
      version: versionOf(given.value("protocol-version")),
      timeout: timeoutOf(given.value("timeout")),
      probe: true,
      macros: macrosOf(given.values("macro")),
      ...(client !== undefined && { client }),
      ...(helo !== undefined && { helo }),
    };
    const sender = new Sender(address, options, given, io);
    const results: SendResult[] = [];
    try {
      for (const file of files) {
        results.push(await sender.send(file, { ...envelope, message: await readMail(file, io) }));
      }
      await sender.end();
      return 0;
    } catch (error) {
      sender.close();
      // An address to listen on only, such as inet:8891@0.0.0.0.
      if (error instanceof AddressError) throw new UsageError(error.message);
      if (error instanceof TransportError) throw new CommandError(error.message, 1, { cause: error });
      if (error instanceof MtaClientError) {
        const message = `${formatAddress(address)}: ${printable(error.message, 1000)}`;
        throw new CommandError(message, 1, { cause: error });
      }
      throw error;
    } finally {
      if (given.has("json")) io.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    }
  },
};

/** The result for one mail, as `--json` prints it. */
interface SendResult extends Pick<SentMail, "verdict" | "stage" | "reply" | "refused" | "warnings"> {
  readonly file: string;
  /** The envelope after the edits; undefined if the mail is refused or discarded. */
  readonly sender: string | undefined;
  readonly recipients: readonly string[] | undefined;
  readonly quarantine: string | undefined;
  readonly frames: readonly {
    readonly from: string;
    readonly letter: string;
    readonly name: string;
    readonly detail: string;
  }[];
  /** Unified diff of the mail; empty if it did not change. */
  readonly diff: string;
  /** The edited mail, with `--whole`; bytes that are not UTF-8 are replaced. */
  readonly message?: string;
}

/** Sends mails over one connection, and over another where that has ended. */
class Sender {
  readonly #address: Address;
  readonly #options: MtaClientOptions;
  readonly #given: Given;
  readonly #io: Io;
  #client: MtaClient | undefined;

  constructor(address: Address, options: MtaClientOptions, given: Given, io: Io) {
    this.#address = address;
    const onFrame = (entry: TraceEntry): void => this.#showFrame(entry);
    this.#options = given.has("json") ? options : { ...options, onFrame };
    this.#given = given;
    this.#io = io;
  }

  async send(file: string, mail: MailSource & { readonly message: Uint8Array }): Promise<SendResult> {
    if (this.#client?.over) await this.end();
    if (!this.#given.has("json")) this.#io.stdout.write(`${this.#strong(printable(file))}\n`);
    const client = this.#client ??= await this.#connect();
    const sent = await client.sendMail(mail);
    const result = resultOf(file, mail.message, sent, this.#given.has("whole"));
    if (!this.#given.has("json")) this.#io.stdout.write(this.#text(result, sent));
    return result;
  }

  /** Says goodbye and waits for the milter to close. */
  async end(): Promise<void> {
    await this.#client?.quit();
    this.#client = undefined;
  }

  close(): void {
    this.#client?.close();
  }

  async #connect(): Promise<MtaClient> {
    const { timeout } = this.#options;
    const connection = await dial(this.#address, timeout === undefined ? {} : { timeout });
    return await MtaClient.connect(connection, this.#options);
  }

  #showFrame({ from, code, name, detail }: TraceEntry): void {
    if (from === "mta" && code === SMFIC.MACRO && !this.#given.has("macros")) return;
    const line = `${from === "mta" ? ">" : "<"} ${letterOf(code)} ${name}${detail && ` ${detail}`}`;
    this.#io.stdout.write(`  ${from === "mta" ? line : this.#strong(line)}\n`);
  }

  #text(result: SendResult, sent: SentMail): string {
    const lines = [
      `${this.#strong(result.verdict)} at ${result.stage}${
        result.reply ? `: ${printable(result.reply, 1000)}` : ""
      }`,
    ];
    for (const { recipient, reply } of result.refused) {
      lines.push(`refused ${printable(recipient)}${reply ? `: ${printable(reply, 1000)}` : ""}`);
    }
    if (result.recipients !== undefined) {
      lines.push(
        `envelope ${printable(result.sender!)} to ${
          printable(result.recipients.join(" "), 1000) || "nobody"
        }`,
      );
    }
    if (result.quarantine !== undefined) lines.push(`quarantine: ${printable(result.quarantine, 1000)}`);
    for (const warning of result.warnings) lines.push(`warning: ${printable(warning, 1000)}`);
    const { diff } = result;
    const mail = sent.mail === undefined || !this.#given.has("whole")
      ? this.#io.stdout.color ? colorDiff(diff) : diff
      : wholeText(sent);
    return `${lines.join("\n")}\n${mail}\n`;
  }

  #strong(text: string): string {
    return this.#io.stdout.color ? `\x1b[1m${text}\x1b[0m` : text;
  }
}

function resultOf(file: string, message: Uint8Array, sent: SentMail, whole: boolean): SendResult {
  const { verdict, stage, reply, refused, warnings, mail, trace } = sent;
  return {
    file,
    verdict,
    stage,
    reply,
    refused,
    warnings,
    sender: mail?.sender,
    recipients: mail?.recipients,
    quarantine: mail?.quarantine,
    frames: trace.map(({ from, code, name, detail }) => ({ from, letter: letterOf(code), name, detail })),
    diff: mail ? mailDiff(file, renderMail(parseMail(message)), renderMail(mail)) : "",
    ...(whole && sent.message !== undefined && { message: sent.message }),
  };
}

/** The edited mail for a terminal: as lines, without what would steer it. */
function wholeText(sent: SentMail): string {
  return sent.message!.split("\r\n").map((line) =>
    line.split("\t").map((part) => printable(part, Infinity)).join("\t")
  )
    .join("\n");
}

function letterOf(code: number): string {
  return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : "?";
}

function addressOf(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(error.message);
    throw error;
  }
}

function versionOf(text: string | undefined): number {
  if (text === undefined) return MAX_VERSION;
  const version = Number(text);
  if (/^[0-9]$/.test(text) && version >= MIN_VERSION && version <= MAX_VERSION) return version;
  throw new UsageError(
    `--protocol-version is "${printable(text, 60)}", expected ${MIN_VERSION} to ${MAX_VERSION}`,
  );
}

function timeoutOf(text = "30s"): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new UsageError(`--timeout is "${printable(text, 60)}", expected a time such as 500ms, 10s or 5m`);
}

function macrosOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => {
    const parts = /^([^=\s]+)=(.*)$/s.exec(text);
    if (parts === null) {
      throw new UsageError(
        `--macro is "${printable(text, 60)}", expected NAME=VALUE such as auth_type=PLAIN`,
      );
    }
    return [parts[1], parts[2]];
  }));
}
