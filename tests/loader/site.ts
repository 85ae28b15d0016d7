// A real HTTP server on loopback that plays the sites that filters come from.

/** A file: its text, with the content type of its ending; or a whole answer. */
export type Page = string | ((request: Request) => Response | Promise<Response>);

const TYPES: Readonly<Record<string, string>> = {
  ts: "application/typescript",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
};

/** Files by path. */
export class Site implements AsyncDisposable {
  readonly pages = new Map<string, Page>();
  /** Paths in the order in which they were asked for. */
  readonly asked: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(pages: Readonly<Record<string, Page>> = {}) {
    for (const [path, page] of Object.entries(pages)) this.pages.set(path, page);
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  /** `http://127.0.0.1:PORT`, or the same server under another name. */
  origin(host = "127.0.0.1"): string {
    return `http://${host}:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.asked.push(pathname);
    const page = this.pages.get(pathname);
    if (page === undefined) return new Response("no such file", { status: 404 });
    if (typeof page !== "string") return await page(request);
    const type = TYPES[pathname.split(".").at(-1)!] ?? "text/plain";
    return new Response(page, { headers: { "content-type": type } });
  }
}

/** An answer that leads elsewhere. */
export function redirect(to: string, status = 302): Page {
  return () => new Response(null, { status, headers: { location: to } });
}

/** The pages of a JSR package, below the registry's base path. */
export async function jsrPackage(
  name: string,
  versions: Readonly<
    Record<string, { readonly files: Readonly<Record<string, string>>; readonly exports: object }>
  >,
  yanked: readonly string[] = [],
): Promise<Record<string, Page>> {
  const pages: Record<string, Page> = {};
  const list: Record<string, object> = {};
  for (const [version, { files, exports }] of Object.entries(versions)) {
    list[version] = yanked.includes(version) ? { yanked: true } : {};
    const manifest: Record<string, object> = {};
    for (const [path, text] of Object.entries(files)) {
      const bytes = new TextEncoder().encode(text);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
      manifest[path] = { size: bytes.length, checksum: `sha256-${digest}` };
      pages[`/${name}/${version}${path}`] = text;
    }
    pages[`/${name}/${version}_meta.json`] = JSON.stringify({ manifest, exports });
  }
  pages[`/${name}/meta.json`] = JSON.stringify({ versions: list });
  return pages;
}
