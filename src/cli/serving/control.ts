/**
 * The control socket of a running program: one connection, one word, one answer.
 *
 * A peer sends a command and a line end. The answer is one line of JSON, {@linkcode ControlAnswer}; then the connection
 * is closed. Who may connect is a matter of the socket file. Still every peer is bounded: in bytes, in time, in number.
 *
 * @module
 */
import { printable } from "../../text/show.ts";
import type { Connection, Listener } from "../../transport/types.ts";

/** What became of a command. */
export interface ControlAnswer {
  readonly done: boolean;
  /** What was done, or why it was not; of one line or several. */
  readonly text: string;
}

/** The commands by their names; they never reject. */
export type ControlCommands = Readonly<Record<string, () => Promise<ControlAnswer>>>;

/** The longest command, with its line end, bytes. */
const LONGEST_COMMAND = 64;
/** The longest text of an answer, characters; and the longest answer that is read, bytes, where JSON escapes them all. */
const LONGEST_TEXT = 10_000;
const LONGEST_ANSWER = 64 * 1024;
/** Time for a peer to send its command, and to take the answer, ms. */
const PATIENCE = 5000;
/** Connections at once; one more is closed. */
const MOST_CONNECTIONS = 8;

/** Serves commands on a listener until it is closed. */
export class ControlServer {
  readonly #listener: Listener;
  readonly #commands: ControlCommands;
  readonly #patience: number;
  readonly #open = new Map<Connection, Promise<void>>();
  /** Those whose command is under way: they get their answer even when the socket is closed. */
  readonly #answering = new Set<Connection>();
  readonly #accepting: Promise<void>;

  /** @param patience Time for a peer to send its command, and to take the answer, ms. */
  constructor(listener: Listener, commands: ControlCommands, patience: number = PATIENCE) {
    this.#listener = listener;
    this.#commands = commands;
    this.#patience = patience;
    this.#accepting = this.#accept();
  }

  /** Accepts no more. Settles when the last command has been answered. */
  async close(): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open.keys()) {
      if (!this.#answering.has(connection)) connection.close();
    }
    await this.#accepting;
    await Promise.all(this.#open.values());
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      if (this.#open.size >= MOST_CONNECTIONS) {
        connection.close();
        continue;
      }
      const served = this.#serve(connection).catch(() => {
        // It went away, or took too long: there is nobody left to tell.
      }).finally(() => {
        connection.close();
        this.#answering.delete(connection);
        this.#open.delete(connection);
      });
      this.#open.set(connection, served);
    }
  }

  async #serve(connection: Connection): Promise<void> {
    const command = await this.#within(connection, () => readLine(connection, LONGEST_COMMAND));
    if (command === undefined) return;
    this.#answering.add(connection);
    const { done, text } = await this.#answerTo(command);
    const answer = JSON.stringify({ done, text: text.slice(0, LONGEST_TEXT) });
    await this.#within(connection, () => write(connection, `${answer}\n`));
  }

  async #answerTo(command: string): Promise<ControlAnswer> {
    if (Object.hasOwn(this.#commands, command)) return await this.#commands[command]();
    const known = Object.keys(this.#commands).join(", ");
    return { done: false, text: `"${printable(command)}" is no command; known: ${known}` };
  }

  /** Work with a connection that is closed if it takes too long. */
  async #within<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => connection.close(), this.#patience);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Asks the program at the other end.
 *
 * @returns undefined if it ended the connection without an answer
 */
export async function askControl(
  connection: Connection,
  command: string,
): Promise<ControlAnswer | undefined> {
  await write(connection, `${command}\n`);
  const line = await readLine(connection, LONGEST_ANSWER);
  return line === undefined ? undefined : answerOf(line);
}

function answerOf(line: string): ControlAnswer | undefined {
  try {
    const { done, text } = JSON.parse(line);
    return typeof done === "boolean" && typeof text === "string" ? { done, text } : undefined;
  } catch {
    return undefined;
  }
}

/** The first line without its end; undefined if none comes within so many bytes. */
async function readLine(connection: Connection, most: number): Promise<string | undefined> {
  const reader = connection.readable.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let length = 0; length <= most;) {
    const { value, done } = await reader.read();
    if (done) return undefined;
    length += value.length;
    text += decoder.decode(value, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0 && length <= most) {
      reader.releaseLock();
      return text.slice(0, end).replace(/\r$/, "");
    }
  }
  return undefined;
}

async function write(connection: Connection, text: string): Promise<void> {
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  writer.releaseLock();
}
