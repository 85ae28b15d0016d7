/**
 * The bundled filter `rules`: refuses, discards, quarantines and marks mail by rules from the configuration.
 *
 * @module
 */
import type {
  BodyVerdict,
  ConnectionContext,
  ConnectionVerdict,
  EndOfMessageContext,
  EnvelopeAddress,
  Filter,
  FilterEnv,
  MessageVerdict,
  StageContext,
  TransactionContext,
  TransactionInfo,
} from "../../src/filter/mod.ts";
import type { Condition, Facts, Stage } from "../../src/conditions/mod.ts";
import { accept, HeaderList, skip } from "../../src/filter/mod.ts";
import { type Fate, judge, judgeMail } from "./judge.ts";
import { parseOptions } from "./options.ts";
import { type Plan, planOf } from "./plan.ts";
import type { Rule } from "./rule.ts";

/** What is kept for the life of a mail. */
interface MailState {
  readonly known: Map<Condition, boolean>;
  /** Bytes of the header, counted at the first look. */
  header: number | undefined;
  /** Bytes of the body so far. */
  body: number;
}

const NO_HEADERS = new HeaderList([]);

/**
 * Makes the filter. It has only the hooks that its rules need.
 *
 * @throws {TypeError} naming each wrong option by the number of its rule and its key.
 */
export default function rulesFilter(env: FilterEnv): Filter {
  const rules = parseOptions(env.options);
  const plan = planOf(rules);
  const runner = new Runner(rules, plan, env);
  const { needs, edits, macros } = plan;
  const filter: Filter = { name: "rules", needs, edits, ...(macros && { macros }) };
  const { hooks } = plan;
  if (hooks.has("connect")) filter.connect = (_client, context) => runner.connection("connect", context);
  if (hooks.has("helo")) filter.helo = (_name, context) => runner.connection("helo", context);
  if (hooks.has("mail")) filter.mail = (_sender, context) => runner.mail(context);
  if (hooks.has("rcpt")) filter.rcpt = (recipient, context) => runner.recipient(recipient, context);
  if (hooks.has("data")) filter.data = (context) => runner.whole("data", context);
  if (hooks.has("endOfHeaders")) filter.endOfHeaders = (context) => runner.whole("endOfHeaders", context);
  if (hooks.has("body")) filter.body = (chunk, context) => runner.body(chunk, context);
  if (hooks.has("endOfMessage")) filter.endOfMessage = (context) => runner.end(context);
  return filter;
}

class Runner {
  readonly #rules: readonly Rule[];
  readonly #plan: Plan;
  readonly #env: FilterEnv;
  readonly #mails = new WeakMap<object, MailState>();
  readonly #largest: number;

  constructor(rules: readonly Rule[], plan: Plan, env: FilterEnv) {
    this.#rules = rules;
    this.#plan = plan;
    this.#env = env;
    this.#largest = Math.max(...plan.sizes);
  }

  connection(stage: "connect" | "helo", context: ConnectionContext): ConnectionVerdict | undefined {
    const judgement = judge(this.#rules, {
      stage,
      client: context.client,
      helo: context.helo,
      sender: undefined,
      recipients: [],
      recipientsComplete: false,
      headers: NO_HEADERS,
      macros: context.macros,
      size: 0,
      known: new Map(),
    });
    if (judgement.kind === "stopped") {
      const { verdict } = judgement.by;
      if (verdict?.kind !== "reject" && verdict?.kind !== "tempfail") return undefined;
      this.#log(judgement.by, stage, context);
      return verdict;
    }
    // An accept is for all that comes on the connection, and at helo another HELO may come.
    if (judgement.kind === "open" || judgement.edits.length > 0 || stage === "helo") return undefined;
    if (judgement.by !== undefined) this.#log(judgement.by, stage, context);
    return accept();
  }

  mail(context: TransactionContext): MessageVerdict | undefined {
    const judgement = judge(this.#rules, this.#facts("mail", context, undefined));
    if (judgement.kind === "open") return undefined;
    if (judgement.kind === "passed" && judgement.edits.length > 0) return undefined;
    if (judgement.by === undefined) return accept();
    this.#log(judgement.by, "mail", context);
    return judgement.by.verdict;
  }

  recipient(recipient: EnvelopeAddress, context: TransactionContext): MessageVerdict | undefined {
    const judgement = judge(this.#rules, this.#facts("rcpt", context, recipient));
    // Only a refusal is for one recipient; for the others it is early.
    if (judgement.kind !== "stopped" || judgement.by.verdict?.kind === "discard") return undefined;
    this.#log(judgement.by, "rcpt", context, recipient);
    return judgement.by.verdict;
  }

  /** Any stage between RCPT and the end of the message. */
  whole(stage: "data" | "endOfHeaders" | "body", context: TransactionContext): MessageVerdict | undefined {
    const fate = this.#judgeMail(stage, context);
    return fate.kind === "open" ? undefined : this.#act(fate, stage, context);
  }

  body(chunk: Uint8Array, context: TransactionContext): BodyVerdict | undefined {
    const state = this.#stateOf(context);
    const before = state.body === 0 ? -1 : this.#size("body", context);
    state.body += chunk.length;
    const after = this.#size("body", context);
    // Between two sizes that rules name nothing changes.
    if (!this.#plan.sizes.some((size) => size >= before && size <= after)) return undefined;
    return this.whole("body", context) ?? (after > this.#largest ? skip() : undefined);
  }

  end(context: EndOfMessageContext): MessageVerdict | undefined {
    const fate = this.#judgeMail("endOfMessage", context);
    if (fate.kind === "open") return undefined;
    if (fate.kind === "stopped") return this.#act(fate, "endOfMessage", context);
    for (const { recipient, by } of fate.removed) {
      this.#log(by, "endOfMessage", context, recipient);
      context.removeRecipient(recipient);
    }
    for (const rule of fate.edits) {
      this.#log(rule, "endOfMessage", context);
      for (const edit of rule.edits) {
        if (edit.kind === "addHeader") context.addHeader(edit.name, edit.value);
        else if (edit.kind === "insertHeader") context.insertHeader(edit.index, edit.name, edit.value);
        else context.quarantine(edit.reason);
      }
    }
    for (const rule of fate.by) if (!fate.edits.includes(rule)) this.#log(rule, "endOfMessage", context);
    return fate.by.length > 0 ? accept() : undefined;
  }

  /** The verdict of a fate that needs no edits. */
  #act(
    fate: Exclude<Fate, { kind: "open" }>,
    stage: Stage,
    context: StageContext,
  ): MessageVerdict | undefined {
    if (fate.kind === "stopped") {
      this.#log(fate.by, stage, context);
      return fate.by.verdict;
    }
    if (fate.edits.length > 0 || fate.removed.length > 0) return undefined;
    for (const rule of fate.by) this.#log(rule, stage, context);
    return accept();
  }

  #judgeMail(stage: Stage, context: TransactionInfo): Fate {
    const recipients = this.#plan.perRecipient && context.recipients.length > 0
      ? context.recipients
      : [undefined];
    return judgeMail(this.#rules, recipients.map((recipient) => this.#facts(stage, context, recipient)));
  }

  #facts(stage: Stage, context: TransactionInfo, recipient: EnvelopeAddress | undefined): Facts {
    const { client, helo, sender, headers, macros } = context;
    return {
      stage,
      client,
      helo,
      sender,
      recipients: recipient === undefined ? [] : [recipient],
      recipientsComplete: stage !== "mail",
      headers,
      macros,
      size: this.#size(stage, context),
      known: this.#stateOf(context).known,
    };
  }

  /** What the client announced (RFC 1870), or what came so far if that is more. */
  #size(stage: Stage, context: TransactionInfo): number {
    if (this.#plan.sizes.length === 0) return 0;
    const state = this.#stateOf(context);
    const announced = /^\d{1,15}$/.exec(context.sender?.parameter("SIZE") ?? "");
    if (stage === "body" || stage === "endOfMessage") state.header ??= headerSize(context.headers);
    return Math.max(Number(announced?.[0] ?? 0), (state.header ?? 0) + state.body);
  }

  #stateOf(context: TransactionInfo): MailState {
    const found = this.#mails.get(context.transaction);
    if (found !== undefined) return found;
    const made: MailState = { known: new Map(), header: undefined, body: 0 };
    this.#mails.set(context.transaction, made);
    return made;
  }

  #log(rule: Rule, stage: Stage, context: StageContext, recipient?: EnvelopeAddress): void {
    const actions = [...rule.edits.map((edit) => edit.kind), ...(rule.verdict ? [rule.verdict.kind] : [])];
    this.#env.log.info("rule matched", {
      rule: rule.label,
      number: rule.number,
      actions,
      stage,
      client: context.client?.address,
      queueId: context.queueId,
      ...(recipient && { recipient: recipient.address }),
    });
  }
}

/** Bytes of the header with its line ends and the empty line after it. */
function headerSize(headers: HeaderList): number {
  let size = 2;
  for (const { raw, rawName } of headers) {
    // Colon, blank, CRLF; and each fold comes as LF but counts as CRLF.
    size += rawName.length + raw.length + 4;
    for (const byte of raw) if (byte === 0x0a) size++;
  }
  return size;
}
