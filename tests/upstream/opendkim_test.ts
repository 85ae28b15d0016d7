// OpenDKIM from Debian behind millrace: it signs what passes through, and the signature is right.
import assert from "node:assert/strict";
import { MtaClient } from "../../src/testing/mta_client.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { dial } from "../../src/transport/deno.ts";
import { Millrace, upstreamOf } from "./upstreams.ts";

const encoder = new TextEncoder();

/** Why it cannot be run here; undefined if it can. On a machine for CI that is a fault, so nothing is looked at there. */
async function missingOpenDkim(): Promise<string | undefined> {
  if (Deno.env.get("CI")) return undefined;
  for (const program of ["opendkim", "opendkim-genkey"]) {
    try {
      // Neither has an option that only says it is there; both end at once over a wrong one.
      await new Deno.Command(program, { args: ["--nonsense"], stdout: "null", stderr: "null" }).output();
    } catch {
      return `${program} is not there (apt-get install opendkim opendkim-tools)`;
    }
  }
  return undefined;
}

const missing = await missingOpenDkim();
if (missing !== undefined) console.warn(`SKIPPED: OpenDKIM as upstream, because ${missing}`);

/** OpenDKIM as a process of its own, with its own key and settings; nothing of the machine's service. */
class OpenDkim implements AsyncDisposable {
  readonly spec: string;
  readonly publicKey: string;
  readonly #child: Deno.ChildProcess;
  readonly #errors: Promise<string>;

  private constructor(spec: string, publicKey: string, child: Deno.ChildProcess) {
    this.spec = spec;
    this.publicKey = publicKey;
    this.#child = child;
    this.#errors = new Response(child.stderr).text();
  }

  static async start(folder: string): Promise<OpenDkim> {
    const made = await new Deno.Command("opendkim-genkey", {
      args: ["-D", folder, "-d", "example.org", "-s", "test", "-b", "2048"],
    }).output();
    assert(made.success, new TextDecoder().decode(made.stderr));
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr as Deno.NetAddr;
    free.close();
    const spec = `inet:${port}@127.0.0.1`;
    await Deno.writeTextFile(
      `${folder}/opendkim.conf`,
      [
        "Syslog no",
        "Background no",
        "Mode s",
        "Domain example.org",
        "Selector test",
        `KeyFile ${folder}/test.private`,
        // The folder lies below one that others can write to.
        "RequireSafeKeys no",
        `Socket ${spec}`,
        "Canonicalization relaxed/simple",
        "InternalHosts 192.0.2.1",
        `PidFile ${folder}/opendkim.pid`,
        "",
      ].join("\n"),
    );
    const record = await Deno.readTextFile(`${folder}/test.txt`);
    const publicKey = /p=(.*)/.exec(record.replace(/"\s+"/g, ""))![1].replace(/".*/, "");
    const child = new Deno.Command("opendkim", {
      args: ["-f", "-x", `${folder}/opendkim.conf`],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const started = new OpenDkim(spec, publicKey, child);
    await started.#listens();
    return started;
  }

  /** Waits until the socket opens. */
  async #listens(): Promise<void> {
    let over = false;
    void this.#child.status.then(() => over = true);
    for (let i = 0; i < 300; i++) {
      if (over) throw new Error(`opendkim ended: ${await this.#errors}`);
      try {
        (await dial(parseAddress(this.spec))).close();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    throw new Error("opendkim did not listen within 30 s");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#errors;
  }
}

/** A field as RFC 6376, 3.4.2 (relaxed) has it. */
function relaxed(field: string): string {
  const colon = field.indexOf(":");
  const value = field.slice(colon + 1).replace(/\r\n(?=[ \t])/g, "").replace(/[ \t]+/g, " ").trim();
  return `${field.slice(0, colon).trim().toLowerCase()}:${value}`;
}

function base64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/\s/g, "")), (char) => char.charCodeAt(0));
}

/** Checks the one signature of a message (RFC 6376), made with relaxed/simple. */
async function verify(message: string, publicKey: string): Promise<void> {
  const end = message.indexOf("\r\n\r\n");
  const fields = message.slice(0, end).split(/\r\n(?![ \t])/);
  const signatures = fields.filter((field) => /^dkim-signature:/i.test(field));
  assert.equal(signatures.length, 1, message.slice(0, end));
  const [signature] = signatures;
  const tags = new Map(
    signature.slice(signature.indexOf(":") + 1).split(";").map((tag) => {
      const [name, ...value] = tag.split("=");
      return [name.trim(), value.join("=").replace(/\s+/g, "")] as const;
    }),
  );
  assert.deepEqual([tags.get("d"), tags.get("s"), tags.get("c")], ["example.org", "test", "relaxed/simple"]);
  const body = message.slice(end + 4).replace(/(?:\r\n)*$/, "\r\n");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(body)));
  assert.equal(
    tags.get("bh"),
    btoa(String.fromCharCode(...digest)),
    "the body that was signed is that which leaves",
  );
  const rest = fields.filter((field) => field !== signature);
  const signed = tags.get("h")!.split(":").map((name) => {
    const at = rest.findLastIndex((field) => relaxed(field).startsWith(`${name.toLowerCase()}:`));
    return at === -1 ? "" : `${relaxed(rest.splice(at, 1)[0])}\r\n`;
  });
  const bare = relaxed(signature.replace(/([;\s]b=)[^;]*/, "$1"));
  const key = await crypto.subtle.importKey(
    "spki",
    base64(publicKey),
    { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    false,
    ["verify"],
  );
  assert(
    await crypto.subtle.verify(
      key.algorithm.name,
      key,
      base64(tags.get("b")!),
      encoder.encode(signed.join("") + bare),
    ),
    "the signature holds",
  );
}

Deno.test({
  name: missing === undefined
    ? "OpenDKIM as upstream signs mails of Postfix and Sendmail"
    : "OpenDKIM as upstream (SKIPPED)",
  ignore: missing !== undefined,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "millrace-opendkim-" });
    try {
      await using dkim = await OpenDkim.start(folder);
      const { link, events } = upstreamOf(dial, { address: parseAddress(dkim.spec) });
      const front = new Millrace(link);
      for (const dialect of ["postfix", "sendmail"] as const) {
        const client = await MtaClient.connect(front.connect(), { dialect });
        const mails = [
          "Subject: one\nFrom: a@example.org\nTo: b@example.com\n\nhello\n",
          "From:  Some One <a@example.org>\nSubject:\n folded\n\tsubject\n\n\n\nbody\n\n\n",
          `From: a@example.org\nSubject: large\n\n${"0123456789 abcdef\n".repeat(20_000)}`,
        ];
        for (const message of mails) {
          const sent = await client.sendMail({ sender: "a@example.org", message });
          assert.equal(sent.verdict, "accept");
          assert.deepEqual(sent.edits.map(({ kind }) => kind), ["insertHeader"]);
          await verify(sent.message!, dkim.publicKey);
        }
        // Broken off, then another domain: no signature.
        await client.sendMail({}, { abortAfter: "header" });
        const other = await client.sendMail({
          sender: "x@example.net",
          message: "From: x@example.net\n\nhello\n",
        });
        assert.equal(other.verdict, "accept");
        assert.doesNotMatch(other.message!, /dkim-signature/i);
        await client.quit();
        assert.deepEqual(client.warnings, []);
      }
      assert.deepEqual([front.failures, events], [[], []]);
      await front.stop();
      await link.close();
      assert.equal(link.connections, 0);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
