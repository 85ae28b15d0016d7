/**
 * Places for connections: as many as `limits.connections` says.
 *
 * @module
 */

/** What a server takes a place from for each connection, and gives it back to. */
export interface Places {
  /** How many are taken. */
  readonly taken: number;
  /** Takes one, unless so many are taken already. */
  take(limit: number): boolean;
  /** Gives one back. */
  free(): void;
}

/** The places of one server. */
export class OwnPlaces implements Places {
  taken = 0;

  take(limit: number): boolean {
    if (this.taken >= limit) return false;
    this.taken++;
    return true;
  }

  free(): void {
    this.taken--;
  }
}

/** The places of several servers in threads of one process, each of which has one of these over the same memory. */
export class SharedPlaces implements Places {
  readonly #counts: Int32Array<SharedArrayBuffer>;
  readonly #own: number;

  /** Memory for so many servers. */
  static memory(servers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * (1 + servers));
  }

  /**
   * @param memory From {@linkcode SharedPlaces.memory}.
   * @param server Which server this is, from 0.
   */
  constructor(memory: SharedArrayBuffer, server: number) {
    this.#counts = new Int32Array(memory);
    this.#own = 1 + server;
  }

  get taken(): number {
    return Atomics.load(this.#counts, 0);
  }

  take(limit: number): boolean {
    if (Atomics.add(this.#counts, 0, 1) >= limit) {
      Atomics.sub(this.#counts, 0, 1);
      return false;
    }
    Atomics.add(this.#counts, this.#own, 1);
    return true;
  }

  free(): void {
    Atomics.sub(this.#counts, this.#own, 1);
    Atomics.sub(this.#counts, 0, 1);
  }

  /** Gives back all that the server had, which is no more. */
  clear(): void {
    Atomics.sub(this.#counts, 0, Atomics.exchange(this.#counts, this.#own, 0));
  }
}
