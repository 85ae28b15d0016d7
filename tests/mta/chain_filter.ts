/**
 * A filter that does what its options say, and notes in its log all that it is shown.
 *
 * As data a filter can be served anywhere: in this process, in a sandbox, by `millrace serve`. Imports are types only,
 * so that the module can stand alone.
 *
 * @module
 */
import type {
  BodyContext,
  Declarations,
  EndOfMessageContext,
  EnvelopeAddress,
  Filter,
  FilterEnv,
  StageContext,
  TransactionInfo,
  Verdict,
} from "../../src/filter/mod.ts";

/** The hooks that a script can have. `abort` and `close` it always has: they ask nothing of the MTA. */
export type ScriptHook =
  | "connect"
  | "helo"
  | "mail"
  | "rcpt"
  | "data"
  | "unknown"
  | "header"
  | "endOfHeaders"
  | "body"
  | "endOfMessage"
  | "message";

/**
 * An edit as a call: the method's name, then its arguments. Texts have one character per byte. Besides the filter API's
 * own there is `rewriteBody`: the body as the filter sees it, each occurrence of a text replaced by another.
 */
export type EditCall =
  | readonly ["addHeader", name: string, value: string]
  | readonly ["insertHeader", index: number, name: string, value: string]
  | readonly ["changeHeader", name: string, value: string, nth?: number]
  | readonly ["removeHeader", name: string, nth?: number]
  | readonly ["replaceBody", body: string]
  | readonly ["rewriteBody", from: string, to: string]
  | readonly ["addRecipient", address: string, args?: string]
  | readonly ["removeRecipient", address: string]
  | readonly ["changeSender", address: string, args?: string]
  | readonly ["quarantine", reason: string];

/** A verdict by its name, or a reply: code, enhanced code, lines. */
export type VerdictCall =
  | "accept"
  | "reject"
  | "tempfail"
  | "discard"
  | "skip"
  | readonly [code: number, enhanced: string, ...lines: readonly string[]];

/** What a filter does at a hook. */
export interface Act {
  readonly at: ScriptHook;
  /** Only where what the hook is shown, as the filter notes it, contains this. */
  readonly when?: string;
  readonly edits?: readonly EditCall[];
  readonly verdict?: VerdictCall;
  /** Time that it takes, ms. @default {none: the hook answers at once} */
  readonly takes?: number;
}

/** A filter as data. */
export interface FilterScript extends Declarations {
  readonly hooks: readonly ScriptHook[];
  /** At each hook the first act that fits is done. @default {[]} */
  readonly acts?: readonly Act[];
  /** Macros whose values are noted at each hook. @default {[]} */
  readonly shows?: readonly string[];
}

/** The field of a log record that makes it a note. */
export const NOTE = "note";

/** Texts longer than this are noted by length and hash, so that a line stays below the limits of every log. */
const LONG = 200;

/** Stands for the body once a filter has seen enough of it. */
const SKIPPED = "\0skipped";

/** Makes the filter; its options are a {@linkcode FilterScript}. */
export default function scripted(env: FilterEnv): Filter {
  const { hooks, acts = [], shows = [], ...declared } = env.options as unknown as FilterScript;

  /** Notes what a hook is shown. */
  const tell = (context: StageContext & Partial<TransactionInfo>, lines: readonly string[]): void => {
    context.connection.told = true;
    if (context.transaction !== undefined) context.transaction.told = true;
    const macros = shows.map((name) => ` {${name}}=${context.macros.get(name)}`).join("");
    for (const [n, line] of lines.entries()) {
      context.log.info(n === 0 ? line + macros : line, { [NOTE]: true });
    }
  };

  /** Notes what a hook is shown, then does what the script says. */
  const meet = (at: ScriptHook, context: StageContext, lines: readonly string[]): unknown => {
    tell(context, lines);
    const seen = lines.join("\n");
    const index = acts.findIndex((act) => act.at === at && seen.includes(act.when ?? ""));
    if (index < 0) return undefined;
    const { takes } = acts[index];
    if (takes === undefined) return act(index, context);
    return new Promise((resolve) => setTimeout(resolve, takes)).then(() => act(index, context));
  };

  const act = (index: number, context: StageContext): Verdict | undefined => {
    const { edits = [], verdict } = acts[index];
    for (const call of edits) edit(call, context as EndOfMessageContext);
    const words = [...edits.map(([name]) => name), ...verdict === undefined ? [] : [String(verdict)]];
    context.log.info(`  ${done(index)} ${words.join(", ")}`, { [NOTE]: true });
    if (verdict === "skip") (context as BodyContext).transaction.body = SKIPPED;
    return verdict === undefined ? undefined : made(verdict, context as BodyContext);
  };

  const all: { readonly [Hook in ScriptHook]: (...args: Parameters<NonNullable<Filter[Hook]>>) => unknown } =
    {
      connect: (client, context) =>
        meet("connect", context, [`connect ${client.host} ${client.family} ${client.address}`]),
      helo: (name, context) => meet("helo", context, [`helo ${name}`]),
      mail: (sender, context) => meet("mail", context, [`mail ${envelope(sender)}`]),
      rcpt: (recipient, context) =>
        meet("rcpt", context, [
          `rcpt ${envelope(recipient)}${
            recipient.refused === undefined ? "" : ` refused: ${recipient.refused}`
          }`,
        ]),
      data: (context) => meet("data", context, [`data${view(context)}`]),
      unknown: (command, context) => meet("unknown", context, [`unknown ${command}`]),
      header: (field, context) => meet("header", context, [`header ${fieldText(field.rawName, field.raw)}`]),
      endOfHeaders: (context) =>
        meet("endOfHeaders", context, [`endOfHeaders ${context.headers.length} fields${view(context)}`]),
      body: (chunk, context) => {
        const known = context.transaction.body as string | undefined;
        context.transaction.body = (known ?? "") + text(chunk);
        // the mail may be cut anywhere, so only its first piece says something
        return known === undefined ? meet("body", context, [`body${view(context)}`]) : undefined;
      },
      endOfMessage: (context) => {
        const body = hooks.includes("body") ? context.transaction.body as string ?? "" : undefined;
        return meet("endOfMessage", context, ["endOfMessage", ...summary(context, body)]);
      },
      message: (mail, context) => {
        const body = context.transaction.body = text(mail.body.bytes());
        return meet("message", context, ["message", ...summary(context, body)]);
      },
    };
  return {
    ...declared,
    ...Object.fromEntries(hooks.map((hook) => [hook, all[hook]])),
    // a filter that saw nothing of a mail or connection need not have been told of it
    abort: (context) => context.transaction.told ? tell(context, [`abort${view(context)}`]) : undefined,
    close: (context) => context.connection.told ? tell(context, ["close"]) : undefined,
  };
}

/** How it is noted that an act was done. */
export function done(act: number): string {
  return `=> act ${act}:`;
}

/** Sender and recipients, as far as the filter has seen them. */
function view({ sender, recipients }: TransactionInfo): string {
  const to = recipients.map((recipient) => ` to ${text(recipient.raw)}`).join("");
  return `${sender === undefined ? "" : ` from ${text(sender.raw)}`}${to}`;
}

/** The mail as a whole, one line each; `body` is undefined where the filter sees none. */
function summary(context: EndOfMessageContext, body: string | undefined): string[] {
  return [
    `  id ${context.queueId === undefined ? "none" : "known"}`,
    `  from ${context.sender === undefined ? "unknown" : envelope(context.sender)}`,
    ...context.recipients.map((recipient) => `  to ${envelope(recipient)}`),
    ...[...context.headers].map((field) => `  ${fieldText(field.rawName, field.raw)}`),
    // how much of it had come depends on where it was cut
    ...body === undefined ? [] : [`  body ${body === SKIPPED ? "skipped" : brief(body)}`],
  ];
}

function envelope(address: EnvelopeAddress): string {
  return [text(address.raw), ...address.args].join(" ");
}

function fieldText(name: Uint8Array, value: Uint8Array): string {
  return `${text(name)}:${brief(text(value))}`;
}

/** A text in quotes, or its length in bytes and FNV-1a hash. */
function brief(whole: string): string {
  if (whole.length <= LONG) return JSON.stringify(whole);
  let hash = 0x811c9dc5;
  for (let at = 0; at < whole.length; at++) hash = Math.imul(hash ^ whole.charCodeAt(at), 0x01000193) >>> 0;
  return `${whole.length} bytes ${hash.toString(16)}`;
}

/** Bytes as a string with one character each. */
function text(bytes: Uint8Array): string {
  let whole = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    whole += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return whole;
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function edit(call: EditCall, context: EndOfMessageContext): void {
  switch (call[0]) {
    case "addHeader":
      return context.addHeader(call[1], bytes(call[2]));
    case "insertHeader":
      return context.insertHeader(call[1], call[2], bytes(call[3]));
    case "changeHeader":
      return context.changeHeader(call[1], bytes(call[2]), call[3]);
    case "removeHeader":
      return context.removeHeader(call[1], call[2]);
    case "replaceBody":
      return context.replaceBody(bytes(call[1]));
    case "rewriteBody":
      return context.replaceBody(
        bytes((context.transaction.body as string ?? "").replaceAll(call[1], call[2])),
      );
    case "addRecipient":
      return context.addRecipient(call[1], call[2]);
    case "removeRecipient":
      return context.removeRecipient(call[1]);
    case "changeSender":
      return context.changeSender(call[1], call[2]);
    case "quarantine":
      return context.quarantine(call[1]);
  }
}

function made(verdict: VerdictCall, context: BodyContext): Verdict {
  if (typeof verdict !== "string") {
    const [code, enhanced, ...lines] = verdict;
    return code < 500 ? context.tempfail(enhanced, lines, code) : context.reject(enhanced, lines, code);
  }
  switch (verdict) {
    case "accept":
      return context.accept();
    case "reject":
      return context.reject();
    case "tempfail":
      return context.tempfail();
    case "discard":
      return context.discard();
    case "skip":
      return context.skip();
  }
}
