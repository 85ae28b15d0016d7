/**
 * Real MTAs for tests: Debian's Postfix and Sendmail in private folders on loopback (private_root.sh says
 * how). Each ends with the test process, however that ends.
 */
import {
  type Delivered,
  emptyFolder,
  postfixHold,
  postfixQueue,
  type Quarantined,
  readMaildir,
  sendmailQuarantine,
  sendmailQueue,
} from "./mailbox.ts";
import { SmtpClient, type SmtpOptions } from "./smtp.ts";

/** The MTAs that can be started. */
export type MtaKind = "postfix" | "sendmail";

/** All of them, for tests that run on each. */
export const mtaKinds: readonly MtaKind[] = ["postfix", "sendmail"];

/** The group of the account with which Postfix connects to filters (postfix.sh). */
export const postfixGroup = 31001;

/** A filter that the MTA asks: where it listens, and options in the MTA's own words. */
export interface MilterOptions {
  /** As libmilter writes it: `inet:PORT@HOST`, `inet6:PORT@HOST` or `unix:/path`. */
  readonly socket: string;
  /** For Postfix, for example `default_action=accept, command_timeout=2s`. */
  readonly postfix?: string;
  /** For Sendmail, in place of `F=T, T=C:5s;S:10s;R:10s;E:20s`. */
  readonly sendmail?: string;
}

/** How to start an MTA. */
export interface MtaOptions {
  /** One filter or several, asked in this order. Default: none. */
  readonly milter?: string | MilterOptions | readonly (string | MilterOptions)[];
  /** The value of Postfix's smtpd_milters, in place of what `milter` would give. */
  readonly smtpdMilters?: string;
  /** Folders of Unix sockets that only `smtpdMilters`, `mainCf` or `mc` name. */
  readonly socketFolders?: readonly string[];
  /** Take mail on ::1 as well. @default {false} */
  readonly ipv6?: boolean;
  /** Lines at the end of Postfix's main.cf. */
  readonly mainCf?: string;
  /** m4 lines for Sendmail's configuration, before its MAILER lines. */
  readonly mc?: string;
}

/** A running MTA. */
export interface Mta extends AsyncDisposable {
  readonly kind: MtaKind;
  /** For example "3.7.11". */
  readonly version: string;
  /** Where it takes mail, on 127.0.0.1. */
  readonly port: number;
  /** Its private folder: `etc`, `var`, `mail`. */
  readonly folder: string;
  /** Opens an SMTP connection and reads the greeting. */
  smtp(options?: Omit<SmtpOptions, "port">): Promise<SmtpClient>;
  /**
   * Waits until the queue is empty, then gives what was delivered since the last `clear`, by recipient.
   *
   * @throws {Error} when it is not `count` mails (one per recipient; undefined for any number), or the queue is not
   * empty in time.
   */
  delivered(count: number | undefined, timeoutMs?: number): Promise<Delivered[]>;
  /** What is in the quarantine. */
  quarantined(): Promise<Quarantined[]>;
  /** Removes what was delivered and quarantined so far. */
  clear(): Promise<void>;
  /** The mail log. */
  log(): Promise<string>;
  /** Ends it and removes its folder, unless MILLRACE_LAB_KEEP is set. */
  stop(): Promise<void>;
}

const here = new URL(".", import.meta.url).pathname;

let reason: { readonly text: string | undefined } | undefined;

/**
 * Why real MTAs cannot run here, or undefined where they can. The first call downloads and unpacks the
 * packages if that was not done before.
 */
export function available(): string | undefined {
  reason ??= { text: findReason() };
  return reason.text;
}

/**
 * `Deno.test` for tests that need real MTAs. Where these cannot run the test is ignored and its name
 * says why. With MILLRACE_REQUIRE_MTA set it fails instead, so that a CI cannot lose these tests unseen.
 */
export function mtaTest(name: string, run: (t: Deno.TestContext) => Promise<void>): void {
  const missing = available();
  if (missing !== undefined && Deno.env.get("MILLRACE_REQUIRE_MTA")) {
    Deno.test(name, () => {
      throw new Error(`Real MTAs are required here (MILLRACE_REQUIRE_MTA), but ${missing}`);
    });
    return;
  }
  if (missing !== undefined) console.warn(`SKIPPED "${name}": ${missing}`);
  Deno.test({
    name: missing === undefined ? name : `${name} (SKIPPED: ${missing})`,
    ignore: missing !== undefined,
    fn: run,
  });
}

/**
 * Starts an MTA and waits until it takes mail.
 *
 * @throws {Error} with the log when it does not come up.
 */
export async function startMta(kind: MtaKind, options: MtaOptions = {}): Promise<Mta> {
  // the port is free now and taken a moment later: somebody else may be faster
  for (let attempt = 1;; attempt++) {
    try {
      return await startOnce(kind, options);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

async function startOnce(kind: MtaKind, options: MtaOptions): Promise<Mta> {
  const folder = await Deno.makeTempDir({ prefix: `millrace-${kind}-` });
  const port = freePort();
  const child = new Deno.Command(`${here}${kind}.sh`, {
    args: ["run", folder, String(port)],
    env: environment(kind, options),
    // it ends when this is closed, by stop() or by the end of this process
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  const end = child.status.then((status) => {
    ended = true;
    return status;
  });
  const log = async () => await textOf(`${folder}/start.log`) + await textOf(`${folder}/var/log/mail.log`);
  const stop = async () => {
    if (!ended) await child.stdin.close().catch(() => {});
    await end;
    if (!Deno.env.get("MILLRACE_LAB_KEEP")) await Deno.remove(folder, { recursive: true }).catch(() => {});
  };

  const started = kind === "postfix" ? /daemon started -- version ([\d.]+)/ : /starting daemon \(([\d.]+)\)/;
  const ready = () => kind === "postfix" ? Promise.resolve(true) : exists(`${folder}/var/run/sendmail.pid`);
  let version: string | undefined;
  const up = await until(20_000, async () => {
    version = started.exec(await log())?.[1];
    return ended || (version !== undefined && await ready());
  });
  if (!up || ended || version === undefined) {
    const text = await log();
    await stop();
    throw new Error(
      `Cannot start ${kind} on port ${port}: it ${ended ? "ended" : "is not ready in time"}\n${text}`,
    );
  }

  const show = async (id: string) => {
    const { stdout } = await new Deno.Command(`${here}postfix.sh`, { args: ["show", folder, id] }).output();
    return stdout;
  };
  return {
    kind,
    version,
    port,
    folder,
    smtp: (more) => SmtpClient.connect({ ...more, port }),
    async delivered(count, timeoutMs = 20_000) {
      let waiting: string[] = [];
      const idle = await until(timeoutMs, async () => {
        waiting = kind === "postfix" ? await postfixQueue(folder) : await sendmailQueue(folder);
        return waiting.length === 0;
      });
      if (!idle) {
        throw new Error(
          `Waiting for ${kind} to deliver: still queued are ${waiting.join(", ")}\n${await log()}`,
        );
      }
      const mails = await readMaildir(folder);
      if (count !== undefined && mails.length !== count) {
        const found = mails.map((mail) => `<${mail.sender}> to <${mail.recipient}>`).join(", ") || "none";
        throw new Error(
          `Expected ${count} delivered mails in ${kind}, found ${mails.length}: ${found}\n${await log()}`,
        );
      }
      return mails;
    },
    quarantined: () => kind === "postfix" ? postfixHold(folder, show) : sendmailQuarantine(folder),
    async clear() {
      await emptyFolder(`${folder}/mail/new`);
      if (kind === "postfix") return await emptyFolder(`${folder}/var/spool/postfix/hold`);
      await emptyFolder(`${folder}/var/spool/mqueue`);
    },
    log,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What the scripts read: the filters in the MTA's own words, and the folders of their sockets. */
function environment(kind: MtaKind, options: MtaOptions): Record<string, string> {
  const { milter = [] } = options;
  const list: readonly (string | MilterOptions)[] = typeof milter === "string" || "socket" in milter
    ? [milter]
    : milter;
  const milters = list.map((one) => typeof one === "string" ? { socket: one } : one);
  const folders = milters.map(({ socket }) => /^(?:unix|local):(\/.*)\/[^/]+$/.exec(socket)?.[1] ?? "");
  const socketFolders = new Set([...folders, ...options.socketFolders ?? []].filter((path) => path !== ""));
  return {
    SOCKET_DIRS: [...socketFolders].join("\n"),
    MAIN_CF: options.mainCf ?? "",
    MC: options.mc ?? "",
    IPV6: options.ipv6 ? "yes" : "",
    MILTERS: kind === "postfix"
      ? options.smtpdMilters ?? milters.map(postfixMilter).join(", ")
      : milters.map(sendmailMilter).join("\n"),
  };
}

/** Postfix has host and port the other way round. */
function postfixMilter(milter: MilterOptions): string {
  const inet = /^inet6?:(\d+)@(.+)$/.exec(milter.socket);
  const host = inet?.[2].includes(":") ? `[${inet[2]}]` : inet?.[2];
  const socket = inet ? `inet:${host}:${inet[1]}` : milter.socket.replace(/^local:/, "unix:");
  return milter.postfix === undefined ? socket : `{ ${socket}, ${milter.postfix} }`;
}

function sendmailMilter(milter: MilterOptions, index: number): string {
  const options = milter.sendmail ?? "F=T, T=C:5s;S:10s;R:10s;E:20s";
  const socket = milter.socket.replace(/^unix:/, "local:");
  return `INPUT_MAIL_FILTER(\`lab${index}', \`S=${socket}${options && `, ${options}`}')dnl`;
}

function findReason(): string | undefined {
  if (Deno.build.os !== "linux") return `this is ${Deno.build.os}, and they run on Linux`;
  if (Deno.uid() !== 0) return "only root may give them a private root (mount namespaces)";
  for (const command of ["bash", "flock", "perl", "dpkg-deb", "apt-get"]) {
    if (!runs(command, "--version")) return `the command ${command} is missing`;
  }
  if (!runs("unshare", "--mount", "--pid", "--fork", "true")) return "unshare may not make namespaces here";
  for (const kind of mtaKinds) {
    const { success, stderr } = new Deno.Command(`${here}${kind}.sh`, { args: ["prepare"] }).outputSync();
    if (!success) return new TextDecoder().decode(stderr).trim() || `${kind}.sh prepare fails`;
  }
  return undefined;
}

function runs(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** A TCP port on which nothing listens at this moment. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Looks again and again, with short pauses, until it is true; false when it never was in time. */
async function until(timeoutMs: number, check: () => Promise<boolean>): Promise<boolean> {
  for (let waited = 0, pause = 10; waited < timeoutMs; waited += pause, pause = Math.min(pause * 2, 100)) {
    if (await check()) return true;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return await check();
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return "";
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}
