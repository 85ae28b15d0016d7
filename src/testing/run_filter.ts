/**
 * Runs a filter on a mail without network or mail server: the real session, fed as an MTA feeds it.
 *
 * @module
 */
import type { Chain } from "../chain/chain.ts";
import type { Session } from "../chain/session.ts";
import { SoloSession } from "../chain/solo_session.ts";
import type { Filter, Log, Verdict } from "../filter/mod.ts";
import { type Agreement, FrameReader, FrameWriter, type Reply } from "../protocol/mod.ts";
import { FilterSession } from "../session/filter_session.ts";
import { bareMacroName } from "../session/mta_macros.ts";
import { MtaSession } from "../session/mta_session.ts";
import { COMMAND_CODES, type MtaAnswer, type MtaCommand } from "../session/mta_types.ts";
import type { FilterPlan, LinkReport, MailLimits, MailReport, SessionHost } from "../session/plan.ts";
import { type Failure, type FailurePolicy, uniformPolicy } from "../session/policy.ts";
import type { Dialect, EditedMail } from "./edited_mail.ts";
import { type Carrier, connectCommand, transmit } from "./mta_mail.ts";
import type { TestMail } from "./test_mail.ts";

export type { TestMail } from "./test_mail.ts";

/** How to run it. */
export interface RunOptions {
  /** Whose rules turn edits into the edited mail. Default: `postfix`. */
  readonly dialect?: Dialect;
  /** Protocol version of the MTA, 2 to 6. Default: 6. */
  readonly version?: number;
  /** What becomes of the mail when the filter fails. Default: `error` is thrown to you, not turned into a verdict. */
  readonly policy?: FailurePolicy;
  readonly log?: Log;
}

/** What the filter did. */
export interface FilterRun {
  /** The verdict on the mail; `continue` if nothing objected. */
  readonly verdict: Verdict["kind"];
  /** The SMTP reply of the filter's own, for example `"550 5.7.1 not here"`. */
  readonly reply: string | undefined;
  /** The hook that gave the verdict. */
  readonly stage: string;
  /** Recipients the filter refused, with the reply of each if it has one. */
  readonly refused: readonly { readonly recipient: string; readonly reply: string | undefined }[];
  /** The edits as the MTA gets them. */
  readonly edits: readonly Reply[];
  /** The mail as the MTA passes it on; undefined if it is refused or discarded. */
  readonly mail: EditedMail | undefined;
  /** The edited mail as a file, CRLF line ends; undefined if it is refused or discarded. */
  readonly message: string | undefined;
  /** What the filter failed with, if a policy was given. */
  readonly failure: Failure | undefined;
}

const encoder = new TextEncoder();
const LIMITS: MailLimits = { headers: 2 ** 24, body: 2 ** 30, recipients: 100_000, frame: 2 ** 20 + 4096 };
const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Runs a filter on one mail and tells what it did.
 *
 * @param filter The filter itself; a module that exports a function is to be called first.
 * @throws whatever a hook throws, unless `options.policy` is given.
 *
 * @example A filter that marks mail
 * ```ts
 * import { runFilter } from "@millrace/millrace";
 * import assert from "node:assert/strict";
 *
 * const run = await runFilter(
 *   { message: (_mail, { addHeader }) => addHeader("X-Checked", "yes") },
 *   { message: "Subject: hello\n\nHi!\n" },
 * );
 * assert.equal(run.verdict, "continue");
 * assert.equal(run.message, "Subject: hello\r\nX-Checked: yes\r\n\r\nHi!\r\n");
 * ```
 */
export async function runFilter(
  filter: Filter,
  mail: TestMail = {},
  options: RunOptions = {},
): Promise<FilterRun> {
  const { policy } = options;
  const name = filter.name ?? "filter";
  const plan: FilterPlan = { name, filter, policy: policy ?? uniformPolicy(), limits: LIMITS };
  const open = (host: SessionHost) =>
    new SoloSession(new FilterSession(plan, host, false), Infinity, host.now);
  return await run(new Wire(open, mail, { ...options, strict: policy === undefined }), mail);
}

/** What a chain did. */
export interface ChainRun extends FilterRun {
  /** The record of the mail, or of the connection that was refused before any. */
  readonly report: MailReport | undefined;
  /** What links that are only tried out would have done. */
  readonly shadows: readonly LinkReport[];
}

/**
 * Runs one mail through a chain as {@linkcode runFilter} does through a filter. Failures go by the links' own policies.
 */
export async function runChain(
  chain: Chain,
  mail: TestMail,
  options: Omit<RunOptions, "policy"> = {},
): Promise<ChainRun> {
  const wire = new Wire((host) => chain.open(host, false), mail, { ...options, strict: false });
  const outcome = await run(wire, mail);
  while (chain.busy) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    chain.tick(performance.now());
  }
  return { ...outcome, report: wire.report, shadows: wire.shadows };
}

async function run(wire: Wire, mail: TestMail): Promise<FilterRun> {
  const { client = {}, helo, ...source } = mail;
  await wire.start();
  await wire.command(connectCommand(client));
  if (!wire.over) {
    await wire.command({ kind: "helo", name: encoder.encode(helo ?? client.host ?? "client.example.org") });
  }
  const { verdict, ...outcome } = await transmit(wire, source, {}, () => {});
  await wire.quit();
  return { ...outcome, verdict: wire.verdictOf(verdict), failure: wire.failure };
}

interface WireOptions extends Pick<RunOptions, "dialect" | "version" | "log"> {
  /** Throw what a hook threw. */
  readonly strict: boolean;
}

/** The MTA's session and the filter's session, frame by frame, with nothing between them. */
class Wire implements Carrier {
  readonly dialect: Dialect;
  failure: Failure | undefined;
  ended: MtaAnswer | undefined;
  readonly #mta: MtaSession;
  readonly #session: Session;
  readonly #commands = new FrameReader();
  readonly #replies = new FrameReader();
  readonly #toFilter = new FrameWriter();
  readonly #toMta = new FrameWriter();
  readonly #strict: boolean;
  report: MailReport | undefined;
  readonly shadows: LinkReport[] = [];
  #thrown: { readonly cause: unknown } | undefined;

  constructor(open: (host: SessionHost) => Session, mail: TestMail, options: WireOptions) {
    const { dialect = "postfix", version = 6, strict, log = QUIET } = options;
    const macros = new Map(
      Object.entries(mail.macros ?? { i: "TEST" }).map(([name, value]) => [bareMacroName(name), value]),
    );
    // All are sent before each command, so that a test need not know the mail servers' lists.
    const names = [...macros.keys()].map((name) => name.length === 1 ? name : `{${name}}`);
    this.dialect = dialect;
    this.#strict = strict;
    this.#mta = new MtaSession({
      dialect,
      version,
      macros: (name) => macros.get(name),
      macroLists: new Map(Object.values(COMMAND_CODES).map((code) => [code, names])),
    });
    this.#session = open({
      now: () => performance.now(),
      log,
      mail: (report) => this.report = report,
      shadow: (report) => void this.shadows.push(report),
      failure: (failure, cause) => {
        this.failure ??= failure;
        this.#thrown ??= {
          cause: cause ??
            new Error(`Filter "${failure.filter}" failed in ${failure.hook}: ${failure.message}`),
        };
      },
    });
  }

  get agreement(): Agreement {
    return this.#mta.agreement!;
  }

  get over(): boolean {
    return this.#mta.over;
  }

  /** The filter's own verdict: at the end of a mail accept goes over the wire as continue. */
  verdictOf(verdict: Verdict["kind"]): Verdict["kind"] {
    return verdict === "continue" && this.report?.verdict === "accept" ? "accept" : verdict;
  }

  async start(): Promise<void> {
    this.#mta.start(this.#toFilter);
    await this.#pass();
  }

  async command(command: MtaCommand): Promise<{ answer: MtaAnswer | undefined; edits: Reply[] }> {
    this.#mta.send(command, this.#toFilter);
    return await this.#pass();
  }

  /** Ends the connection. Throws what a hook threw, unless a policy was given. */
  async quit(): Promise<void> {
    await this.command({ kind: "quit" });
    await this.#session.lost();
    if (this.#strict && this.#thrown !== undefined) throw this.#thrown.cause;
  }

  /** Waits for an answer; after the deadline the policy gives it. */
  async #inTime(pending: Promise<void>): Promise<void> {
    for (let work: Promise<void> | undefined = pending; work !== undefined;) {
      const ms = this.#session.deadline - performance.now();
      if (ms === Infinity) return await work;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<true>((resolve) => timer = setTimeout(() => resolve(true), Math.max(0, ms)));
      const over = await Promise.race([work, late]);
      clearTimeout(timer);
      // A link that has answered meanwhile may have given way to the next, with a deadline of its own.
      if (over !== true) return;
      if (performance.now() >= this.#session.deadline) work = this.#session.expire(this.#toMta);
    }
  }

  async #pass(): Promise<{ answer: MtaAnswer | undefined; edits: Reply[] }> {
    this.#commands.push(this.#toFilter.take());
    while (this.#commands.next()) {
      const pending = this.#session.receive(this.#commands, this.#toMta);
      if (pending === undefined) continue;
      this.#commands.held = true;
      await this.#inTime(pending);
      this.#commands.held = false;
    }
    this.#replies.push(this.#toMta.take());
    const edits: Reply[] = [];
    let answer: MtaAnswer | undefined;
    while (this.#replies.next()) {
      const event = this.#mta.receive(this.#replies, this.#toFilter);
      if (event.kind === "edit") edits.push(event.edit);
      if (event.kind === "answer") answer = event;
    }
    if (answer?.ends === "connection") this.ended = answer;
    return { answer, edits };
  }
}
