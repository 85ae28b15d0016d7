/**
 * A mail server's milter client for tests: speaks to any milter, in any language, as Postfix or as Sendmail does.
 *
 * @module
 */
import {
  type Agreement,
  FrameReader,
  type FrameReader as Reader,
  FrameWriter,
  letter,
  ProtocolError,
  type Reply,
  SMFIC,
} from "../protocol/mod.ts";
import { bareMacroName } from "../session/mta_macros.ts";
import { MtaSession } from "../session/mta_session.ts";
import type { MtaAnswer, MtaCommand } from "../session/mta_types.ts";
import type { Connection } from "../transport/types.ts";
import type { Dialect } from "./edited_mail.ts";
import { type Exchange, MtaClientError, type MtaClientOptions } from "./mta_client_types.ts";
import { connectCommand, type MailSource, type SendOptions, type SentMail, transmit } from "./mta_mail.ts";
import { type MacroFacts, macroValue } from "./mta_values.ts";
import { strangerOf } from "./stranger.ts";
import { type TraceEntry, traceOf } from "./trace.ts";

const encoder = new TextEncoder();
/** How long a stranger may take for an answer. */
const PROBE_MS = 1000;

/**
 * One connection to a milter, as a mail server holds it: any number of mails, one after the other.
 */
export class MtaClient {
  readonly dialect: Dialect;
  /** Every frame of the connection so far. */
  readonly trace: TraceEntry[] = [];
  /** What the filter did that mail servers let pass and that it should not do. */
  readonly warnings: string[] = [];
  readonly #connection: Connection;
  readonly #options: MtaClientOptions;
  readonly #session: MtaSession;
  readonly #from: ReadableStreamDefaultReader<Uint8Array>;
  readonly #to: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: Reader = new FrameReader();
  readonly #out = new FrameWriter();
  readonly #given: Map<string, string>;
  readonly #abort = (): void => this.close();
  #waiting: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  #facts: MacroFacts;
  #head: Uint8Array = new Uint8Array(0);
  #mails = 0;
  #connected = false;
  #greeted = false;
  /** The verdict that ended the connection for the filter, if there was one. */
  #ended: MtaAnswer | undefined;

  private constructor(connection: Connection, options: MtaClientOptions) {
    this.dialect = options.dialect ?? "postfix";
    this.#connection = connection;
    this.#options = options;
    this.#from = connection.readable.getReader();
    this.#to = connection.writable.getWriter();
    // A failed write shows as an error of its own; nobody waits for this one.
    this.#to.closed.catch(() => {});
    this.#from.closed.catch(() => {});
    this.#given = new Map(
      Object.entries(options.macros ?? {}).map(([name, value]) => [bareMacroName(name), value]),
    );
    const { host = "client.example.org", address = "192.0.2.1", port = 40000 } = options.client ?? {};
    this.#facts = {
      host,
      address,
      port,
      given: this.#given,
      queueId: "",
      sender: undefined,
      recipient: undefined,
      accepted: false,
      messageId: undefined,
    };
    const { version, actions, protocol } = options;
    this.#session = new MtaSession({
      dialect: this.dialect,
      ...(version !== undefined && { version }),
      ...(actions !== undefined && { actions }),
      ...(protocol !== undefined && { protocol }),
      macros: (name) => macroValue(name, this.dialect, this.#facts),
      warn: (message) => this.warnings.push(message),
    });
    options.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /**
   * Negotiates on a fresh connection. SMFIC_CONNECT and SMFIC_HELO follow with `helo()`, or with the first mail.
   *
   * @throws {MtaClientError} if no milter answers there.
   */
  static async connect(connection: Connection, options: MtaClientOptions = {}): Promise<MtaClient> {
    let client: MtaClient;
    try {
      options.signal?.throwIfAborted();
      client = new MtaClient(connection, options);
    } catch (error) {
      connection.close();
      throw error;
    }
    client.#session.start(client.#out);
    await client.#guarded(() => client.#exchange(SMFIC.OPTNEG));
    return client;
  }

  /** What was negotiated. */
  get agreement(): Agreement {
    return this.#session.agreement!;
  }

  /** The filter is done with this connection: later mails pass it by. */
  get over(): boolean {
    return this.#session.over;
  }

  /** What ended the connection for the filter: its answer to CONNECT or HELO, or a 421. */
  get ended(): MtaAnswer | undefined {
    return this.#ended;
  }

  /**
   * Sends CONNECT, if that has not been done, then HELO.
   *
   * @param name Default: the name in the options.
   */
  async helo(name: string = this.#options.helo ?? this.#facts.host): Promise<Exchange> {
    const connect = await this.#connectOnce();
    if (this.#session.over) return connect;
    this.#greeted = true;
    return this.command({ kind: "helo", name: encoder.encode(name) });
  }

  /**
   * Sends one mail through the filter, CONNECT and HELO before the first.
   *
   * @throws {MtaClientError} if the filter does not answer as the protocol demands; the connection is then closed.
   */
  async sendMail(mail: MailSource = {}, options: SendOptions = {}): Promise<SentMail> {
    const [frames, warned] = [this.trace.length, this.warnings.length];
    if (!this.#greeted && !this.over) await this.helo();
    this.#mails++;
    const given = new Map([
      ...this.#given,
      ...Object.entries(mail.macros ?? {}).map(([name, value]) => [bareMacroName(name), value] as const),
    ]);
    const setFacts = (facts: Partial<MacroFacts>): void => void (this.#facts = { ...this.#facts, ...facts });
    setFacts({
      given,
      queueId: `TEST${this.#mails}`,
      sender: undefined,
      recipient: undefined,
      accepted: false,
      messageId: undefined,
    });
    const outcome = await transmit(this, mail, options, setFacts);
    return { ...outcome, trace: this.trace.slice(frames), warnings: this.warnings.slice(warned) };
  }

  /**
   * Sends one command as the dialect does, and waits for its answer if it has one: for tests that need more than
   * whole mails.
   */
  command(command: MtaCommand): Promise<Exchange> {
    return this.#guarded(async () => {
      // A reply that nobody asked for would be taken for the answer to this command.
      this.#takeSurplus();
      const sent = this.#session.send(command, this.#out);
      if (sent !== "asked") {
        await this.#flush();
        return { sent, answer: undefined, edits: [] };
      }
      return { sent, ...await this.#exchange(this.#session.awaiting!) };
    });
  }

  /** Ends the open mail without a verdict, as after RSET (SMFIC_ABORT, where the dialect sends it). */
  async abort(): Promise<void> {
    await this.command({ kind: "abort" });
  }

  /** Begins a new SMTP connection on the same socket (SMFIC_QUIT_NC); the negotiation stays. */
  async newConnection(): Promise<void> {
    await this.command({ kind: "quitNewConnection" });
    this.#connected = this.#greeted = false;
  }

  /**
   * Says goodbye (SMFIC_QUIT, where the dialect sends it) and waits for the filter to close.
   *
   * @throws {MtaClientError} `broken` if replies were left over, `timeout` if the filter does not close.
   */
  async quit(): Promise<void> {
    await this.#guarded(async () => {
      this.#takeSurplus();
      // Postfix sends no quit once the filter has ended the connection: it just closes.
      if (this.#session.over && this.dialect === "postfix") return;
      this.#session.send({ kind: "quit" }, this.#out);
      await this.#flush();
      while (await this.#read("the end of the connection, after SMFIC_QUIT")) this.#takeSurplus();
    });
    this.close();
  }

  /** Closes the connection at once, as a mail server that is gone. */
  close(): void {
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#connection.close();
  }

  async #connectOnce(): Promise<Exchange> {
    if (this.#connected) return { sent: "unsent", answer: undefined, edits: [] };
    this.#connected = true;
    const { host, address, port } = this.#facts;
    return await this.command(connectCommand({ host, address, port }));
  }

  /** Runs one step; whatever fails closes the connection, and is told in words of this side. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const silent = error instanceof MtaClientError && error.kind === "timeout" && this.#head.length === 0;
      if (silent && this.#options.probe) await this.#probe();
      this.close();
      if (this.#options.signal?.aborted) throw this.#options.signal.reason;
      const stranger = this.#session.agreement === undefined ? strangerOf(this.#head) : undefined;
      if (!(error instanceof ProtocolError) && (!silent || stranger === undefined)) throw error;
      if (stranger !== undefined) {
        throw new MtaClientError("stranger", `Cannot talk to the milter: the peer is ${stranger}`, {
          cause: error,
        });
      }
      throw new MtaClientError("broken", `The filter breaks the milter protocol. ${error.message}`, {
        cause: error,
      });
    }
  }

  /** An empty line: what a server of a text protocol says to it names the server. */
  async #probe(): Promise<void> {
    try {
      await this.#to.write(encoder.encode("\r\n\r\n"));
      await this.#read("anything", performance.now() + PROBE_MS);
    } catch {
      // Nothing more is known than before.
    }
  }

  /** Sends what is written and collects replies up to the answer to the command of byte `code`. */
  async #exchange(code: number): Promise<{ answer: MtaAnswer | undefined; edits: Reply[] }> {
    await this.#flush();
    const edits: Reply[] = [];
    const { endTimeout = 300_000 } = this.#options;
    const until = code === SMFIC.BODYEOB ? performance.now() + endTimeout : Infinity;
    for (;;) {
      while (this.#reader.next()) {
        this.#note("filter", this.#reader);
        const event = this.#session.receive(this.#reader, this.#out);
        if (event.kind === "edit") edits.push(event.edit);
        if (event.kind === "progress" || event.kind === "edit") continue;
        await this.#flush();
        const answer = event.kind === "answer" ? event : undefined;
        if (answer?.ends === "connection") this.#ended = answer;
        return { answer, edits };
      }
      const what = code === SMFIC.OPTNEG
        ? "the answer to the option negotiation"
        : `the answer to ${letter(code)}`;
      if (!await this.#read(what, until)) {
        throw new MtaClientError("closed", this.#closedMessage(what));
      }
    }
  }

  #closedMessage(what: string): string {
    if (this.#session.agreement !== undefined || this.#head.length > 0) {
      return `The filter closed the connection before ${what}: its log may say why`;
    }
    return `The peer closed the connection before ${what}: it may be no milter, refuse this client, have too many ` +
      "connections, or insist on edits that this protocol version does not offer";
  }

  /** Reads once; false at the end. */
  async #read(what: string, until: number = Infinity): Promise<boolean> {
    const { timeout = 30_000 } = this.#options;
    const ms = Math.max(0, Math.min(timeout, until - performance.now()));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const hint = this.#session.agreement === undefined && this.#head.length === 0
          ? ": is a milter listening there? Servers of other protocols are silent as well"
          : "";
        reject(
          new MtaClientError("timeout", `The filter did not send ${what} within ${Math.round(ms)} ms${hint}`),
        );
      }, ms);
    });
    try {
      // A read that came too late is still waiting.
      this.#waiting ??= this.#from.read();
      this.#waiting.catch(() => {});
      const { value, done } = await Promise.race([this.#waiting, late]);
      this.#waiting = undefined;
      if (done) return false;
      if (this.#head.length < 64) this.#head = joined(this.#head, value.subarray(0, 64));
      this.#reader.push(value);
      return true;
    } finally {
      clearTimeout(timer);
    }
  }

  #takeSurplus(): void {
    while (this.#reader.next()) {
      this.#note("filter", this.#reader);
      this.#session.receive(this.#reader, this.#out);
    }
  }

  async #flush(): Promise<void> {
    if (this.#out.length === 0) return;
    const bytes = this.#out.take().slice();
    const frames = new FrameReader();
    frames.push(bytes);
    while (frames.next()) this.#note("mta", frames);
    try {
      await this.#to.write(bytes);
    } catch (error) {
      throw new MtaClientError("closed", "The filter closed the connection while it was written to", {
        cause: error,
      });
    }
  }

  #note(from: TraceEntry["from"], frame: Reader): void {
    const entry = traceOf(from, frame);
    this.trace.push(entry);
    this.#options.onFrame?.(entry);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
