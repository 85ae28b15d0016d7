/** What real MTAs say by macros of a client's TLS and login, as conditions read it. */
import { deepEqual, equal } from "node:assert/strict";
import rules from "../../filters/rules/mod.ts";
import { values } from "./mailbox.ts";
import { freePort, type Mta, type MtaKind, mtaKinds, mtaTest, startMta } from "./mta.ts";
import { serveFilter, socketFolder } from "./serve_filter.ts";
import type { SmtpClient } from "./smtp.ts";

const HOST = "mx.lab.example";
const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Marks a mail with the names of the conditions that hold. */
function marking(conditions: Readonly<Record<string, unknown>>) {
  return rules({
    options: {
      rules: Object.entries(conditions).map(([value, when]) => ({
        when,
        add_header: { name: "X-Is", value },
      })),
    },
    log: silent,
    signal: new AbortController().signal,
  });
}

const CONDITIONS = {
  "tls": { tls: true },
  "plain": { tls: false },
  "TLS 1.x": { macro: { "{tls_version}": "TLSv1.?" } },
  "authenticated": { authenticated: true },
  "anonymous": { authenticated: false },
  "anna": { macro: { "{auth_authen}": "anna" } },
  "PLAIN": { macro: { "{auth_type}": "PLAIN" } },
  "our daemon": { daemon: ["mx.lab.example", "lab"] },
  "by id": { macro: { i: "/^[0-9A-Za-z]{8,}$/" } },
  // Not in a default list: asked for at MAIL and at the end of the header.
  "message id": { macro: { "{msg_id}": "<m1@client.example>" } },
  "unheard-of": { macro: { "{unheard_of}": "*" } },
};

interface Certificate extends AsyncDisposable {
  readonly folder: string;
  readonly ca: string;
}

/** A certificate for the MTA, and who signed it, in a folder that the MTA can see. */
async function certificate(): Promise<Certificate> {
  const { path: folder, [Symbol.asyncDispose]: remove } = await socketFolder();
  const openssl = async (...args: readonly string[]): Promise<void> => {
    const { success, stderr } = await new Deno.Command("openssl", { args: [...args], cwd: folder }).output();
    if (!success) throw new Error(`openssl ${args[0]}: ${new TextDecoder().decode(stderr)}`);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await openssl("req", "-x509", ...key, "-subj", "/CN=lab CA", "-keyout", "ca.key", "-out", "ca.pem");
  await openssl(
    "req",
    ...key.slice(0, 5),
    "-subj",
    `/CN=${HOST}`,
    "-keyout",
    "key.pem",
    "-out",
    "request.pem",
  );
  await Deno.writeTextFile(`${folder}/names`, `subjectAltName=DNS:${HOST}\n`);
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"];
  await openssl("x509", "-req", "-in", "request.pem", ...signed, "-out", "cert.pem");
  return { folder, ca: await Deno.readTextFile(`${folder}/ca.pem`), [Symbol.asyncDispose]: remove };
}

/** A login service that takes everybody, in the protocol that Postfix talks with Dovecot's. */
function loginService(): { readonly port: number } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serveOne = async (connection: Deno.Conn): Promise<void> => {
    const say = (text: string) => connection.write(new TextEncoder().encode(text));
    await say("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n");
    let text = "";
    for await (const chunk of connection.readable.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const id = /^AUTH\t(\d+)\t/.exec(line)?.[1];
        if (id !== undefined) await say(`OK\t${id}\tuser=anna\n`);
      }
    }
  };
  const serving = (async () => {
    for await (const connection of listener) serveOne(connection).catch(() => {});
  })();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

/** What is said to an MTA about its certificate, and to Postfix about logins. */
function setUp(kind: MtaKind, folder: string, login: number) {
  if (kind === "sendmail") {
    return {
      mc: `define(\`confCACERT_PATH', \`${folder}')dnl
define(\`confCACERT', \`${folder}/ca.pem')dnl
define(\`confSERVER_CERT', \`${folder}/cert.pem')dnl
define(\`confSERVER_KEY', \`${folder}/key.pem')dnl`,
    };
  }
  return {
    mainCf: `smtpd_tls_security_level = may
smtpd_tls_cert_file = ${folder}/cert.pem
smtpd_tls_key_file = ${folder}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${login}`,
  };
}

/** Sends a mail on a connection that `prepare` has made ready; gives the marks on it. */
async function marks(mta: Mta, prepare: (smtp: SmtpClient) => Promise<void>): Promise<string[]> {
  await mta.clear();
  await using smtp = await mta.smtp();
  await smtp.ehlo();
  await prepare(smtp);
  equal((await smtp.mail("s@client.example")).code, 250);
  equal((await smtp.rcpt("one@lab.example")).code, 250);
  const { code, raw } = await smtp.data("From: a@client.example\nMessage-Id: <m1@client.example>\n\nhi\n");
  equal(code, 250, raw);
  await smtp.quit();
  const [mail] = await mta.delivered(1);
  return values(mail, "X-Is").sort();
}

const LOGIN = `AUTH PLAIN ${btoa("\0anna\0secret")}`;

for (const kind of mtaKinds) {
  mtaTest(`${kind}: conditions on TLS, login, daemon and macros hold when they should`, async () => {
    await using files = await certificate();
    await using login = loginService();
    const milter = `inet:${freePort()}@127.0.0.1`;
    await using mta = await startMta(kind, {
      milter,
      socketFolders: [files.folder],
      ...setUp(kind, files.folder, login.port),
    });
    await using served = await serveFilter([milter], marking(CONDITIONS));
    const always = ["by id", ...(kind === "sendmail" ? ["message id"] : []), "our daemon"];
    deepEqual(await marks(mta, async () => {}), ["anonymous", ...always, "plain"].sort());
    const secure = async (smtp: SmtpClient): Promise<void> => {
      equal((await smtp.startTls(HOST, [files.ca])).code, 220, await mta.log());
      equal((await smtp.ehlo()).code, 250);
    };
    deepEqual(await marks(mta, secure), ["TLS 1.x", "anonymous", ...always, "tls"].sort());
    if (kind === "postfix") {
      const logIn = async (smtp: SmtpClient): Promise<void> => {
        const { code, raw } = await smtp.command(LOGIN);
        equal(code, 235, raw);
      };
      deepEqual(await marks(mta, logIn), ["PLAIN", "anna", "authenticated", ...always, "plain"].sort());
      deepEqual(
        await marks(mta, async (smtp) => {
          await secure(smtp);
          await logIn(smtp);
        }),
        ["PLAIN", "TLS 1.x", "anna", "authenticated", ...always, "tls"].sort(),
      );
    }
    deepEqual([...served.failures, ...served.complaints], []);
  });
}
