/**
 * One bounded request at a time: what a hostile server can do is to answer with an error of ours.
 *
 * @module
 */
import { LoadError, quote, reasonOf } from "./error.ts";
import { urlProblem } from "./specifier.ts";

/** Upper bounds for one filter. */
export interface Limits {
  /** Different addresses that the graph imports. */
  readonly modules: number;
  /** Bytes of one answer, after decompression. */
  readonly moduleBytes: number;
  /** Bytes of all answers together. */
  readonly totalBytes: number;
  /** Redirects in a row. */
  readonly redirects: number;
  /** Milliseconds for one answer, its body included. */
  readonly fetchTime: number;
  /** Milliseconds for the whole filter. */
  readonly totalTime: number;
}

/** What holds unless the caller says otherwise. */
export const DEFAULT_LIMITS: Limits = Object.freeze({
  modules: 500,
  moduleBytes: 4 * 1024 * 1024,
  totalBytes: 32 * 1024 * 1024,
  redirects: 5,
  fetchTime: 30_000,
  totalTime: 120_000,
});

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** What a server says to one request. */
export type Answer =
  | { readonly kind: "redirect"; readonly to: string }
  | { readonly kind: "content"; readonly contentType: string; readonly bytes: Uint8Array<ArrayBuffer> };

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const WEB_PAGES = /^(?:text\/html|application\/xhtml\+xml)$/;

/** Asks servers, and counts what all answers together cost. */
export class Fetcher {
  readonly limits: Limits;
  readonly #fetch: Fetch;
  readonly #over = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  #bytes = 0;

  constructor(fetch: Fetch, limits: Limits) {
    this.#fetch = fetch;
    this.limits = limits;
    this.#timer = setTimeout(() =>
      this.#over.abort(
        new LoadError(
          "limit",
          `Cannot load the filter: not all of its modules came within ${
            limits.totalTime / 1000
          } s; try again later`,
        ),
      ), limits.totalTime);
  }

  /** Ends what still runs; no request is made after this. */
  close(): void {
    clearTimeout(this.#timer);
    this.#over.abort(new LoadError("network", "Cannot fetch: given up because of another error"));
  }

  /**
   * Asks for one URL and does not follow redirects.
   *
   * @param accept The `Accept` header.
   * @throws {LoadError} of kind `network` or `limit`, that names the URL
   */
  async get(url: string, accept: string): Promise<Answer> {
    const seconds = this.limits.fetchTime / 1000;
    const late = new AbortController();
    const timer = setTimeout(() =>
      late.abort(
        new LoadError(
          "limit",
          `Cannot fetch ${url}: no whole answer within ${seconds} s; try again later, or ask who runs that server`,
        ),
      ), this.limits.fetchTime);
    const signal = AbortSignal.any([this.#over.signal, late.signal]);
    try {
      signal.throwIfAborted();
      return await raced(this.#exchange(url, accept, signal), signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof LoadError) throw error;
      throw new LoadError("network", `Cannot fetch ${url}: ${reasonOf(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Counts bytes of a module that came from elsewhere, such as a file.
   *
   * @throws {LoadError} of kind `limit`
   */
  count(from: string, bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.limits.totalBytes) {
      throw new LoadError(
        "limit",
        `Cannot load ${from}: the filter's modules together have more than ${this.limits.totalBytes} bytes`,
      );
    }
  }

  async #exchange(url: string, accept: string, signal: AbortSignal): Promise<Answer> {
    const response = await this.#fetch(url, { redirect: "manual", headers: { accept }, signal });
    try {
      if (REDIRECTS.includes(response.status)) return redirectOf(url, response);
      checkStatus(url, response);
      const contentType = response.headers.get("content-type") ?? "";
      if (WEB_PAGES.test(essence(contentType))) {
        throw new LoadError(
          "network",
          `Cannot load ${url}: the server sent a web page (${essence(contentType)}), not a module; ` +
            'give the address of the file itself (on code hosting sites the one behind "raw")',
        );
      }
      return { kind: "content", contentType, bytes: await this.#body(url, response, signal) };
    } finally {
      // Whatever of the body was not read is not wanted; once read, there is nothing to cancel.
      if (!response.bodyUsed) await response.body?.cancel().catch(() => {});
    }
  }

  async #body(url: string, response: Response, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const { moduleBytes } = this.limits;
    const tooLong = (): LoadError =>
      new LoadError(
        "limit",
        `Cannot load ${url}: it has more than ${moduleBytes} bytes; a module that long is refused`,
      );
    if (Number(response.headers.get("content-length")) > moduleBytes) throw tooLong();
    const reader = response.body?.getReader();
    const pieces: Uint8Array[] = [];
    let length = 0;
    try {
      while (reader !== undefined) {
        const { done, value } = await raced(reader.read(), signal);
        if (done) break;
        length += value.length;
        if (length > moduleBytes) throw tooLong();
        this.count(url, value.length);
        pieces.push(value);
      }
    } catch (error) {
      // Not awaited: a body that never ends may never be told.
      reader?.cancel().catch(() => {});
      throw error;
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
}

/** A content type without its parameters, in lower case. */
export function essence(contentType: string): string {
  return contentType.split(";")[0].trim().toLowerCase();
}

function redirectOf(url: string, response: Response): Answer {
  const location = response.headers.get("location");
  const fail = (why: string): never => {
    throw new LoadError("network", `Cannot fetch ${url}: the server redirects ${why}`);
  };
  if (location === null) return fail(`without saying where to (status ${response.status}, no Location)`);
  if (!URL.canParse(location, url)) return fail(`to ${quote(location)}, which is not a URL`);
  const to = new URL(location, url);
  to.hash = "";
  if (to.protocol === "http:" && url.startsWith("https:")) {
    return fail(`from https: down to ${quote(to.href)}, where anybody on the way could change the module`);
  }
  const problem = urlProblem(to);
  if (problem !== undefined) return fail(`to ${quote(to.href)}: ${problem}`);
  return { kind: "redirect", to: to.href };
}

function checkStatus(url: string, { status }: Response): void {
  if (status === 200) return;
  const hint = status === 404 || status === 410
    ? "there is no such module"
    : status === 401 || status === 403
    ? "it is not public; fetch it to a file and use its path"
    : status >= 500
    ? "try again later"
    : "expected status 200";
  throw new LoadError("network", `Cannot fetch ${url}: the server answered with status ${status}; ${hint}`);
}

/** The outcome, or the signal's reason if that comes first. A `fetch` that ignores its signal cannot hold us up. */
function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
