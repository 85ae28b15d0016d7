/**
 * Where log lines leave the process: never blocking, never growing without bound.
 *
 * @module
 */

/** Lines that wait for a slow reader of the log, in bytes. */
const MAX_WAITING = 1024 * 1024;

/**
 * Collects lines and writes them in one go as soon as the write before is done. A log that nobody reads must not
 * hold up mail: past a limit lines are dropped, and a line says how many once there is room again.
 */
export class LogSink {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #droppedLine: (count: number) => string;
  readonly #limit: number;
  readonly #encoder = new TextEncoder();
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #writing: Promise<void> | undefined;

  /**
   * @param write Writes bytes; called again only when its promise is settled. A rejection loses those lines only.
   * @param droppedLine Makes the line that reports lost lines.
   * @param limit Bytes that may wait.
   */
  constructor(
    write: (bytes: Uint8Array) => Promise<void>,
    droppedLine: (count: number) => string,
    limit: number = MAX_WAITING,
  ) {
    this.#write = write;
    this.#droppedLine = droppedLine;
    this.#limit = limit;
  }

  /** Takes a line with its line end. */
  push(line: string): void {
    this.pushBytes(this.#encoder.encode(line));
  }

  /** Takes whole lines as bytes. */
  pushBytes(bytes: Uint8Array): void {
    if (this.#waitingBytes + bytes.length > this.#limit) {
      this.#dropped += linesIn(bytes);
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#writing ??= this.#run();
  }

  /** Resolves when all that was taken so far is written or lost. */
  async drain(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #run(): Promise<void> {
    // Lines of the same moment leave in one write.
    await undefined;
    while (this.#waiting.length > 0 || this.#dropped > 0) {
      if (this.#dropped > 0) {
        const report = this.#encoder.encode(this.#droppedLine(this.#dropped));
        this.#dropped = 0;
        this.#waiting.push(report);
      }
      const batch = join(this.#waiting);
      this.#waiting = [];
      this.#waitingBytes = 0;
      try {
        await this.#write(batch);
      } catch {
        // The log itself is broken, so there is nowhere to say it; the next line tries again.
        if (this.#waiting.length === 0) break;
        this.#dropped += linesIn(batch);
      }
    }
    this.#writing = undefined;
  }
}

function linesIn(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
