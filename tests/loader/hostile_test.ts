// Servers that send too much, too slowly, in circles or nonsense.
import assert from "node:assert/strict";
import type { Limits } from "../../src/loader/fetch.ts";
import { loadError, lockUrl } from "./locking.ts";
import { type Page, redirect, Site } from "./site.ts";

/** A body that goes on until nobody reads it. */
function endless(piece: string): Page {
  const bytes = new TextEncoder().encode(piece);
  return () =>
    new Response(new ReadableStream({ pull: (controller) => controller.enqueue(bytes) }), {
      headers: { "content-type": "text/javascript" },
    });
}

/** A body whose first byte comes, and no other. */
const stuck: Page = () =>
  new Response(new ReadableStream({ start: (controller) => controller.enqueue(Uint8Array.of(32)) }), {
    headers: { "content-type": "text/javascript" },
  });

async function refused(
  pages: Readonly<Record<string, Page>>,
  limits: Partial<Limits>,
  ...[kind, ...parts]: Parameters<typeof loadError>
): Promise<void> {
  await using site = new Site(pages);
  await assert.rejects(lockUrl(`${site.origin()}/mod.js`, { limits }), loadError(kind, ...parts));
}

Deno.test("an endless body ends at the limit of a module", () =>
  refused(
    { "/mod.js": endless("//".repeat(1000)) },
    { moduleBytes: 100_000 },
    "limit",
    "/mod.js",
    "100000 bytes",
  ));

Deno.test("a body that unpacks to more than the limit is refused", async () => {
  const zeros = new Blob([new Uint8Array(1_000_000).fill(32)]).stream().pipeThrough(
    new CompressionStream("gzip"),
  );
  const packed = await new Response(zeros).bytes();
  assert(packed.length < 10_000);
  const bomb = () =>
    new Response(packed, { headers: { "content-type": "text/javascript", "content-encoding": "gzip" } });
  await refused({ "/mod.js": bomb }, { moduleBytes: 100_000 }, "limit", "/mod.js", "100000 bytes");
});

Deno.test("an announced length beyond the limit is refused", () => {
  const long = () => new Response(" ".repeat(2000), { headers: { "content-type": "text/javascript" } });
  return refused({ "/mod.js": long }, { moduleBytes: 1000 }, "limit", "more than 1000 bytes");
});

Deno.test("a module of exactly the limit is taken, one byte more is not", async () => {
  const text = "export default {};".padEnd(1000);
  await using site = new Site({ "/mod.js": text });
  await lockUrl(`${site.origin()}/mod.js`, { limits: { moduleBytes: 1000, totalBytes: 1000 } });
  await refused({ "/mod.js": `${text} ` }, { moduleBytes: 1000 }, "limit", "1000 bytes");
  await refused({ "/mod.js": `${text} ` }, { totalBytes: 1000 }, "limit", "together", "1000 bytes");
});

Deno.test("all modules together have a limit", () => {
  const part = "export {};".padEnd(600);
  const pages = { "/mod.js": `import "./a.js"; import "./b.js";`, "/a.js": part, "/b.js": part };
  return refused(pages, { totalBytes: 1000 }, "limit", "together", "1000 bytes", "imported by");
});

Deno.test("a slow body ends in time", () =>
  refused({ "/mod.js": stuck }, { fetchTime: 50 }, "limit", "/mod.js: no whole answer within 0.05 s"));

Deno.test("a server that never answers ends in time", async () => {
  const late = Promise.withResolvers<Response>();
  await using site = new Site({ "/mod.js": () => late.promise });
  const lock = lockUrl(`${site.origin()}/mod.js`, { limits: { fetchTime: 50 } });
  await assert.rejects(lock, loadError("limit", "no whole answer within 0.05 s"));
  late.resolve(new Response());
});

Deno.test("all modules together have a time", () =>
  refused({ "/mod.js": stuck }, { totalTime: 50 }, "limit", "not all of its modules came within 0.05 s"));

Deno.test("a fetch that ignores its signal does not hold up the loader", async () => {
  const deaf = () => new Promise<Response>(() => {});
  const lock = lockUrl("https://filters.example/mod.js", { fetch: deaf, limits: { fetchTime: 20 } });
  await assert.rejects(lock, loadError("limit", "no whole answer within 0.02 s"));
});

Deno.test("the number of modules has a limit", async () => {
  const chain = (request: Request): Response => {
    const next = Number(new URL(request.url).searchParams.get("n")) + 1;
    return new Response(`import "/mod.js?n=${next}"; export default {};`, {
      headers: { "content-type": "text/javascript" },
    });
  };
  await refused({ "/mod.js": chain }, { modules: 20 }, "limit", "n=20", "more than 20 modules", "…");
  const many = Array.from({ length: 20 }, (_, at) => `import "/${at}.js";`).join("\n");
  await refused({ "/mod.js": many }, { modules: 20 }, "limit", "more than 20 modules", "imported by", ":20");
});

Deno.test("redirects have a limit and may not go in circles", async (t) => {
  const on = (request: Request): Response => {
    const next = Number(new URL(request.url).searchParams.get("n")) + 1;
    return new Response(null, { status: 307, headers: { location: `/mod.js?n=${next}` } });
  };
  await t.step(
    "on and on",
    () => refused({ "/mod.js": on }, { redirects: 3 }, "limit", "n=4: more than 3 redirects led to it"),
  );
  await t.step(
    "to itself",
    () => refused({ "/mod.js": redirect("/mod.js") }, {}, "network", "go in a circle"),
  );
  await t.step("in a circle of two", () => {
    const pages = { "/mod.js": redirect("/a.js"), "/a.js": redirect("/mod.js") };
    return refused(pages, {}, "network", "go in a circle");
  });
  await t.step("as many as allowed", async () => {
    await using site = new Site({
      "/mod.js": redirect("/1.js"),
      "/1.js": redirect("/2.js"),
      "/2.js": "export default {};",
    });
    await lockUrl(`${site.origin()}/mod.js`, { limits: { redirects: 2 } });
  });
});

/** A server that answers each request with these bytes, then goes silent. */
async function withRaw(
  answer: (write: (text: string) => Promise<void>) => Promise<void>,
  run: (url: string) => Promise<void>,
) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      try {
        await conn.read(new Uint8Array(4096));
        await answer(async (text) => void await conn.write(new TextEncoder().encode(text)));
        await conn.read(new Uint8Array(1));
      } catch {
        // The client has gone, as it should.
      } finally {
        conn.close();
      }
    }
  })();
  try {
    await run(`http://127.0.0.1:${listener.addr.port}/mod.js`);
  } finally {
    listener.close();
    await serving;
  }
}

Deno.test("answers that are not HTTP, or have endless headers", async (t) => {
  const limits = { fetchTime: 5000 };
  await t.step("endless headers", () =>
    withRaw(async (write) => {
      await write("HTTP/1.1 200 OK\r\n");
      for (;;) await write(`x-${"a".repeat(1000)}: ${"b".repeat(8000)}\r\n`);
    }, (url) => assert.rejects(lockUrl(url, { limits }), loadError("network", `Cannot fetch ${url}: `))));
  await t.step("another protocol", () =>
    withRaw(
      (write) => write("220 mail.example ESMTP\r\n"),
      (url) => assert.rejects(lockUrl(url, { limits }), loadError("network", `Cannot fetch ${url}: `)),
    ));
  await t.step("a length beyond the limit, and then nothing", () =>
    withRaw(
      (write) =>
        write("HTTP/1.1 200 OK\r\ncontent-type: text/javascript\r\ncontent-length: 99999999\r\n\r\n"),
      (url) => assert.rejects(lockUrl(url, { limits }), loadError("limit", "more than 4194304 bytes")),
    ));
  await t.step("cut off in the middle", () =>
    withRaw(
      (write) =>
        write(
          "HTTP/1.1 200 OK\r\ncontent-type: text/javascript\r\ncontent-length: 100\r\nconnection: close\r\n\r\nexport",
        ),
      (url) =>
        assert.rejects(
          lockUrl(url, { limits: { fetchTime: 100 } }),
          loadError("limit", `Cannot fetch ${url}`),
        ),
    ));
});

Deno.test("nobody listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(lockUrl(`http://127.0.0.1:${port}/mod.js`), loadError("network", `:${port}/mod.js: `));
});

Deno.test("a server elsewhere leads neither to http: nor to this machine", async (t) => {
  const site = (pages: Readonly<Record<string, () => Response>>) => (url: string) =>
    Promise.resolve(pages[url]());
  const to = (location: string) => () => new Response(null, { status: 301, headers: { location } });
  const code = (text: string) => () => new Response(text, { headers: { "content-type": "text/javascript" } });
  const entry = "https://filters.example/mod.js";
  const lock = (page: () => Response) => lockUrl(entry, { fetch: site({ [entry]: page }) });
  await t.step(
    "redirect to http:",
    () => assert.rejects(lock(to("http://filters.example/b.js")), loadError("network", "down to")),
  );
  await t.step(
    "redirect to http: on loopback",
    () => assert.rejects(lock(to("http://127.0.0.1:1/b.js")), loadError("network", "down to")),
  );
  await t.step(
    "redirect to https: on loopback",
    () => assert.rejects(lock(to("https://localhost/b.js")), loadError("network", "ask itself")),
  );
  for (
    const host of [
      "localhost",
      "127.1",
      "[::1]",
      "0.0.0.0",
      "[::ffff:127.0.0.1]",
      "a.localhost.",
      "2130706433",
    ]
  ) {
    await t.step(
      `import from ${host}`,
      () => assert.rejects(lock(code(`import "https://${host}/x.js";`)), loadError("module", "ask itself")),
    );
  }
});

Deno.test("after an error nothing is asked for any more", async () => {
  await using site = new Site({
    "/mod.js": `import "./bad.js"; import "./stuck.js"; import "./good.js";`,
    "/bad.js": "export defalt 1",
    "/stuck.js": stuck,
    "/good.js": `import "./never.js";`,
  });
  // Without an end to what is under way, this would wait for the stuck one.
  const limits = { fetchTime: 3_600_000, totalTime: 3_600_000 };
  await assert.rejects(lockUrl(`${site.origin()}/mod.js`, { limits }), loadError("module", "/bad.js"));
  assert(!site.asked.includes("/never.js"));
});

Deno.test("a module that repeats itself a million times is no more than what it says", async () => {
  // Without bounds, each of these would take minutes or all memory.
  const repeated = (line: (at: number) => string) =>
    Array.from({ length: 60_000 }, (_, at) => line(at)).join("\n");
  await using site = new Site({
    "/mod.ts": `import "./same.js"; import "./notes.js"; import "./b.ts"; export default {};`,
    "/same.js": repeated(() => `import "./b.ts";`),
    "/notes.js": repeated((at) => `import(a${at});`),
    "/b.ts": repeated((at) => `const x${at}: string = ${JSON.stringify(`'./b${at}.ts`)};`),
  });
  const { notes } = await lockUrl(`${site.origin()}/mod.ts`);
  assert.equal(notes.length, 100);
  site.pages.set("/b.ts", repeated((at) => `import "./b\\x2e${at}.ts"; // b`));
  await assert.rejects(lockUrl(`${site.origin()}/mod.ts`), loadError("limit", "more than 500 modules"));
  site.pages.set("/b.ts", repeated((at) => `import "./same.js#${at}";`));
  await assert.rejects(lockUrl(`${site.origin()}/mod.ts`), loadError("limit", "more than 1000 spellings"));
});
