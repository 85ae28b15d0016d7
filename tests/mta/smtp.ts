/**
 * An SMTP client for tests: it sends what it is told to, byte by byte, and shows what came back.
 * It checks nothing but the form of the replies (RFC 5321 4.2), so that a test can do wrong things too.
 */

/** One reply of an SMTP server, of one line or several (RFC 5321 4.2.1). */
export interface Reply {
  /** The three digits, as a number. */
  readonly code: number;
  /** The text of each line, without code and separator. Each character is one byte. */
  readonly lines: readonly string[];
  /** The reply as it came, with its line ends. Each character is one byte. */
  readonly raw: string;
}

/** How to reach the server, and how patient to be. */
export interface SmtpOptions {
  /** @default {"127.0.0.1"} */
  readonly hostname?: string;
  readonly port: number;
  /** Ends the connection, and so every wait. */
  readonly signal?: AbortSignal;
  /** Milliseconds that one command may take, the time for sending it included. @default {30_000} */
  readonly timeout?: number;
}

/** A string with one character per byte, as latin-1 has it, for bytes of any kind. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  // in pieces, since every argument of a call takes stack
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

/**
 * The bytes of a string with one character per byte.
 *
 * @throws {RangeError} for a character above U+00FF.
 */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff) {
      throw new RangeError(
        `Cannot send the character "${text[at]}": one byte each was expected, encode it first`,
      );
    }
    bytes[at] = code;
  }
  return bytes;
}

/**
 * A message as it goes over the wire after DATA (RFC 5321 4.5.2): dots doubled at the start of lines, and
 * the closing dot. In a string every "\n" becomes CRLF; bytes are taken as they are.
 */
export function dotStuffed(message: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const source = typeof message === "string" ? bytesOf(message.replaceAll(/\r?\n/g, "\r\n")) : message;
  const dot = 0x2e, lf = 0x0a;
  let extra = 0;
  for (let at = 0; at < source.length; at++) {
    if (source[at] === dot && (at === 0 || source[at - 1] === lf)) extra++;
  }
  const ended = source.length === 0 || source[source.length - 1] === lf;
  const tail = bytesOf(ended ? ".\r\n" : "\r\n.\r\n");
  const wire = new Uint8Array(source.length + extra + tail.length);
  let to = 0;
  for (let at = 0; at < source.length; at++) {
    if (source[at] === dot && (at === 0 || source[at - 1] === lf)) wire[to++] = dot;
    wire[to++] = source[at];
  }
  wire.set(tail, to);
  return wire;
}

/** One SMTP connection. Made by {@linkcode SmtpClient.connect}. */
export class SmtpClient implements AsyncDisposable {
  #connection: Deno.TcpConn | Deno.TlsConn;
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number;
  #greeting: Reply = { code: 0, lines: [], raw: "" };
  #pending = "";
  #closed = false;

  private constructor(connection: Deno.TcpConn, options: SmtpOptions) {
    this.#connection = connection;
    this.#signal = options.signal;
    this.#timeout = options.timeout ?? 30_000;
  }

  /**
   * Opens a connection and reads the greeting, whatever its code.
   *
   * @throws {Error} when nothing listens there, or no greeting comes in time.
   */
  static async connect(options: SmtpOptions): Promise<SmtpClient> {
    options.signal?.throwIfAborted();
    const connection = await Deno.connect({ hostname: options.hostname ?? "127.0.0.1", port: options.port });
    connection.setNoDelay(true);
    const client = new SmtpClient(connection, options);
    client.#greeting = await client.#within("the greeting", () => client.#reply());
    return client;
  }

  /** What the server said first. */
  get greeting(): Reply {
    return this.#greeting;
  }

  /** Sends one line (CRLF is added; one character per byte) and waits for the reply. */
  command(line: string): Promise<Reply> {
    return this.send(bytesOf(`${line}\r\n`), `"${line}"`);
  }

  /** Sends bytes as they are and waits for one reply; `what` names them in an error. */
  send(bytes: Uint8Array, what = "bytes"): Promise<Reply> {
    return this.#within(`the reply to ${what}`, async () => {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
      return await this.#reply();
    });
  }

  /** STARTTLS, and the handshake if the server wants it (RFC 3207). The certificate has to be for `hostname`. */
  async startTls(hostname: string, caCerts: string[]): Promise<Reply> {
    const reply = await this.command("STARTTLS");
    if (reply.code !== 220) return reply;
    return await this.#within("the TLS handshake", async () => {
      const secure = await Deno.startTls(this.#connection as Deno.TcpConn, { hostname, caCerts });
      this.#connection = secure;
      await secure.handshake();
      return reply;
    });
  }

  ehlo(name = "client.lab.example"): Promise<Reply> {
    return this.command(`EHLO ${name}`);
  }

  helo(name = "client.lab.example"): Promise<Reply> {
    return this.command(`HELO ${name}`);
  }

  /** MAIL with the sender given without angle brackets ("" is the null sender), and its parameters. */
  mail(sender: string, parameters = ""): Promise<Reply> {
    return this.command(`MAIL FROM:<${sender}>${parameters && ` ${parameters}`}`);
  }

  /** RCPT with the recipient given without angle brackets, and its parameters. */
  rcpt(recipient: string, parameters = ""): Promise<Reply> {
    return this.command(`RCPT TO:<${recipient}>${parameters && ` ${parameters}`}`);
  }

  /** DATA, and the message if the server wants it (354). The result is the last reply that came. */
  async data(message: string | Uint8Array): Promise<Reply> {
    const reply = await this.command("DATA");
    return reply.code === 354 ? await this.content(message) : reply;
  }

  /** What follows a DATA that the server has agreed to: the message, up to its closing dot. */
  content(message: string | Uint8Array): Promise<Reply> {
    return this.send(dotStuffed(message), "the message");
  }

  rset(): Promise<Reply> {
    return this.command("RSET");
  }

  /** Says goodbye and closes the connection. */
  async quit(): Promise<Reply> {
    try {
      return await this.command("QUIT");
    } finally {
      this.close();
    }
  }

  /** Whether the server has closed the connection; waits for it to say something or go. */
  ended(): Promise<boolean> {
    return this.#within(
      "the end of the connection",
      async () => this.#pending === "" && !(await this.#more()),
    );
  }

  /** Closes without a word, as a client that has lost its network does. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(4096);
    const count = await this.#connection.read(buffer);
    if (count === null) return false;
    this.#pending += latin1(buffer.subarray(0, count));
    return true;
  }

  async #reply(): Promise<Reply> {
    let raw = "";
    const lines: string[] = [];
    for (;;) {
      const end = this.#pending.indexOf("\n");
      if (end < 0) {
        if (!(await this.#more())) {
          throw new Error(`the server closed the connection; it had sent "${raw}${this.#pending}"`);
        }
        continue;
      }
      const line = this.#pending.slice(0, end + 1);
      this.#pending = this.#pending.slice(end + 1);
      raw += line;
      const match = /^([2-5]\d\d)(?:([ -])([^\r\n]*))?\r\n$/.exec(line);
      if (match === null) throw new Error(`"${line}" is no line of an SMTP reply`);
      lines.push(match[3] ?? "");
      if (match[2] !== "-") return { code: Number(match[1]), lines, raw };
    }
  }

  /** Runs the work with a deadline; closing the connection is what wakes a waiting read or write. */
  async #within<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    let why = "";
    const end = (reason: string) => {
      why = reason;
      this.close();
    };
    const timer = setTimeout(() => end(`nothing came within ${this.#timeout} ms`), this.#timeout);
    const onAbort = () => end("the test gave up");
    this.#signal?.addEventListener("abort", onAbort);
    try {
      if (this.#closed) throw new Error("the connection is closed");
      return await work();
    } catch (cause) {
      this.close();
      const reason = why || (cause instanceof Error ? cause.message : String(cause));
      throw new Error(`Waiting for ${what}: ${reason}`, { cause });
    } finally {
      clearTimeout(timer);
      this.#signal?.removeEventListener("abort", onAbort);
    }
  }
}
