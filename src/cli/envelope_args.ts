/**
 * Options that describe how a mail comes in: envelope, client, HELO; and the mail files themselves.
 *
 * @module
 */
import { printable } from "../text/show.ts";
import type { Dialect } from "../testing/edited_mail.ts";
import type { TestMail } from "../testing/run_filter.ts";
import { AddressError, parseAddress } from "../transport/address.ts";
import { CommandError, type Given, type OptionSpec, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { readProblem } from "./load_config.ts";

/** The options that {@linkcode envelopeOf} reads. */
export const ENVELOPE_OPTIONS: readonly OptionSpec[] = [
  { name: "from", value: "ADDRESS", summary: "Envelope sender, <> for none; default sender@example.org" },
  {
    name: "rcpt",
    value: "ADDRESS",
    many: true,
    summary: "Envelope recipient; default recipient@example.com",
  },
  {
    name: "client",
    value: "HOST[IP]",
    summary: "SMTP client, or its IP alone; default client.example.org[192.0.2.1]",
  },
  { name: "helo", value: "NAME", summary: "Name in HELO; default the client's host" },
];

/**
 * Envelope and client as given; what was not given is left out.
 *
 * @throws {UsageError} for a client that is neither `HOST[IP]` nor an IP address
 */
export function envelopeOf(given: Given): Omit<TestMail, "message"> {
  const sender = given.value("from");
  const recipients = given.values("rcpt");
  const helo = given.value("helo");
  const client = given.value("client");
  return {
    ...(sender !== undefined && { sender: sender.replace(/^<(.*)>$/, "$1") }),
    ...(recipients.length > 0 && { recipients }),
    ...(helo !== undefined && { helo }),
    ...(client !== undefined && { client: clientOf(client) }),
  };
}

/** `mx.example[192.0.2.7]`, or an IP address alone. */
function clientOf(text: string): { readonly host: string; readonly address: string } {
  const both = /^([^\s[\]]+)\[([0-9A-Fa-f.:]+)\]$/.exec(text);
  const address = both?.[2] ?? text.replace(/^\[(.*)\]$/, "$1");
  if (!isIp(address)) {
    throw new UsageError(
      `--client is "${
        printable(text, 60)
      }", expected HOST[IP] such as mx.example[192.0.2.7], or an IP address`,
    );
  }
  return { host: both?.[1] ?? `[${address}]`, address };
}

function isIp(text: string): boolean {
  if (!/^[0-9.]+$/.test(text) && !text.includes(":")) return false;
  try {
    parseAddress(text.includes(":") ? `inet6:1@[${text}]` : `inet:1@${text}`);
    return true;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

const DIALECTS: readonly Dialect[] = ["postfix", "sendmail"];

/**
 * The mail server that an option names.
 *
 * @throws {UsageError} for any other
 */
export function dialectOf(option: string, text = "postfix"): Dialect {
  const dialect = DIALECTS.find((name) => name === text.toLowerCase());
  if (!dialect) {
    throw new UsageError(`--${option} is "${printable(text, 60)}", expected ${DIALECTS.join(" or ")}`);
  }
  return dialect;
}

/**
 * Reads a mail file; `-` is standard input.
 *
 * @throws {CommandError} if it cannot be read
 */
export async function readMail(file: string, io: Io): Promise<Uint8Array> {
  try {
    return await io.readFile(file);
  } catch (error) {
    throw new CommandError(`Cannot read the mail "${printable(file)}": ${readProblem(error)}`, 1, {
      cause: error,
    });
  }
}
