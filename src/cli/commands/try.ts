/**
 * `millrace try`: runs mails through the filters of a configuration, without network and mail server.
 *
 * @module
 */
import { printable } from "../../text/show.ts";
import type { Reply } from "../../protocol/mod.ts";
import type { LinkReport } from "../../session/plan.ts";
import { parseMail, renderMail } from "../../testing/eml.ts";
import { type ChainRun, runChain } from "../../testing/run_filter.ts";
import type { Command } from "../command.ts";
import { dialectOf, ENVELOPE_OPTIONS, envelopeOf, readMail } from "../envelope_args.ts";
import { CONFIG_OPTION, readConfig } from "../load_config.ts";
import { openFilters } from "../open_filters.ts";
import { directChainLog, directEvents, directLog } from "../log.ts";
import { colorDiff, mailDiff } from "../mail_diff.ts";
import { chainOf } from "../chain_of.ts";
import { explanation } from "../explain.ts";

/** The command. */
export const command: Command = {
  spec: {
    name: "try",
    summary: "Run mails through the filters offline: verdict, edits, difference",
    operands: "MAIL.eml…",
    operandCount: [1, 10_000],
    options: [
      CONFIG_OPTION,
      ...ENVELOPE_OPTIONS,
      {
        name: "dialect",
        value: "NAME",
        summary: "Mail server whose rules place edits: postfix (default) or sendmail",
      },
      {
        name: "explain",
        summary: "Show what each link did, how long it took, and why the answer is what it is",
      },
      { name: "json", summary: "Print the results as JSON" },
    ],
    notes:
      `Filters run as in serve, without a mail server; upstream milters of the configuration are asked for real.
MAIL.eml is a mail as a file, with CRLF or LF line ends; - is standard input.
Exit codes: 0 every mail got a verdict, 1 a filter failed or a file could not be read, 2 usage or configuration.`,
  },
  async run(given, io) {
    const envelope = envelopeOf(given);
    const dialect = dialectOf("dialect", given.value("dialect"));
    const read = await readConfig(given.value("config")!, io);
    await using open = await openFilters(read, {
      log: (name) => directLog(io.stderr, name),
      event: directEvents(io.stderr),
    }, { files: "as-it-is" });
    const chain = await chainOf(open.links, read);
    const log = directChainLog(io.stderr);
    const results: TryResult[] = [];
    for (const file of given.operands) {
      const message = await readMail(file, io);
      const run = await runChain(chain, { ...envelope, message }, { dialect, log });
      const result = resultOf(file, message, run);
      results.push(result);
      if (given.has("json")) continue;
      io.stdout.write(textOf(result, io.stdout.color));
      if (given.has("explain")) io.stdout.write(explanation(run));
    }
    if (given.has("json")) io.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    return results.some(({ failure }) => failure !== undefined) ? 1 : 0;
  },
};

/** The result for one mail, as `--json` prints it. */
interface TryResult {
  readonly file: string;
  readonly verdict: string;
  /** The hook that gave the verdict. */
  readonly stage: string;
  readonly reply?: string;
  readonly refused: ChainRun["refused"];
  readonly edits: readonly Readonly<Record<string, string | number>>[];
  /** The envelope after the edits; undefined if the mail is refused or discarded. */
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly quarantine?: string;
  readonly failure?: { readonly kind: string; readonly hook: string; readonly message: string };
  /** Why the verdict is what it is, and what each link did. */
  readonly why?: string;
  readonly links?: readonly LinkReport[];
  readonly shadows: readonly LinkReport[];
  /** Unified diff of the mail; empty if it did not change. */
  readonly diff: string;
}

function resultOf(file: string, message: Uint8Array, run: ChainRun): TryResult {
  const { verdict, stage, reply, refused, mail, failure } = run;
  return {
    file,
    verdict,
    stage,
    reply,
    refused,
    edits: editsOf(run.edits),
    sender: mail?.sender,
    recipients: mail?.recipients,
    quarantine: mail?.quarantine,
    failure: failure && { kind: failure.kind, hook: failure.hook, message: failure.message },
    why: run.report?.why,
    links: run.report?.links,
    shadows: run.shadows,
    diff: mail ? mailDiff(file, renderMail(parseMail(message)), renderMail(mail)) : "",
  };
}

const decoder = new TextDecoder();

/** The edits in the words of the filter API. */
function editsOf(replies: readonly Reply[]): Readonly<Record<string, string | number>>[] {
  const edits: Record<string, string | number>[] = [];
  for (const reply of replies) {
    const last = edits.at(-1);
    // A new body comes in several frames.
    if (reply.kind === "replaceBody" && last?.kind === "replaceBody") {
      last.bytes = Number(last.bytes) + reply.chunk.length;
    } else {
      edits.push(editOf(reply));
    }
  }
  return edits;
}

function editOf(reply: Reply): Record<string, string | number> {
  switch (reply.kind) {
    case "addHeader":
      return { kind: "addHeader", name: decoder.decode(reply.name), value: decoder.decode(reply.value) };
    case "insertHeader": {
      const field = { name: decoder.decode(reply.name), value: decoder.decode(reply.value) };
      // The far index is how a field is appended on both mail servers.
      return reply.index >= 0x7fffffff
        ? { kind: "addHeader", ...field }
        : { kind: "insertHeader", index: reply.index, ...field };
    }
    case "changeHeader": {
      const place = { name: decoder.decode(reply.name), nth: reply.index };
      return reply.value.length === 0
        ? { kind: "removeHeader", ...place }
        : { kind: "changeHeader", ...place, value: decoder.decode(reply.value) };
    }
    case "replaceBody":
      return { kind: "replaceBody", bytes: reply.chunk.length };
    case "addRecipient":
      return { kind: "addRecipient", address: decoder.decode(reply.address) };
    case "addRecipientWithArgs":
    case "changeSender": {
      const kind = reply.kind === "changeSender" ? "changeSender" : "addRecipient";
      const address = decoder.decode(reply.address);
      return reply.args === undefined
        ? { kind, address }
        : { kind, address, args: decoder.decode(reply.args) };
    }
    case "removeRecipient":
      return { kind: "removeRecipient", address: decoder.decode(reply.address) };
    case "quarantine":
      return { kind: "quarantine", reason: decoder.decode(reply.reason) };
    default:
      return { kind: reply.kind };
  }
}

function textOf(result: TryResult, color: boolean): string {
  const { file, verdict, stage, reply, refused, edits, failure, diff } = result;
  const strong = (text: string) => color ? `\x1b[1m${text}\x1b[0m` : text;
  const lines = [
    `${printable(file)}: ${strong(verdict)} at ${stage}${reply ? `: ${printable(reply, 1000)}` : ""}`,
  ];
  if (failure) {
    lines.push(`  failed in ${failure.hook} (${failure.kind}): ${printable(failure.message, 500)}`);
  }
  for (const { recipient, reply } of refused) {
    lines.push(`  refused ${printable(recipient)}${reply ? `: ${printable(reply, 1000)}` : ""}`);
  }
  for (const { kind, ...values } of edits) lines.push(`  ${kind}${editText(values)}`);
  return `${lines.join("\n")}\n${color ? colorDiff(diff) : diff}`;
}

function editText(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values).map(([key, value]) => ` ${key}=${printable(JSON.stringify(value), 300)}`)
    .join("");
}
