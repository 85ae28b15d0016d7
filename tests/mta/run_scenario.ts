/** Plays a scenario: an SMTP client talks to an MTA that asks a filter, then mailbox and quarantine are looked at. */
import { AssertionError, equal } from "node:assert/strict";
import type { Filter } from "../../src/filter/mod.ts";
import type { StoredMail } from "./mailbox.ts";
import type { Mta } from "./mta.ts";
import {
  type ExpectedReply,
  forMta,
  own,
  type PerMta,
  type Scenario,
  type Step,
  textOf,
} from "./scenario.ts";
import { latin1, type Reply, type SmtpClient } from "./smtp.ts";

/** Serves a filter until it is stopped; stopping waits until its sessions have ended. */
export type Serve = (filter: Filter) => Promise<AsyncDisposable>;

/**
 * Plays a scenario and leaves the MTA empty for the next.
 *
 * @param serve Serves the filter where the MTA looks for it.
 * @throws {AssertionError} naming the step, when something else comes of it than the scenario says.
 */
export async function runScenario(scenario: Scenario, mta: Mta, serve: Serve): Promise<void> {
  const notes: string[] = [];
  {
    await using _server = await serve(scenario.filter((event) => void notes.push(event)));
    await using smtp = await mta.smtp();
    compareReply(smtp.greeting, scenario.greeting ?? 220, "the greeting", mta);
    let open = true;
    for (const step of scenario.steps) {
      await take(step, smtp, mta);
      open = step.kind !== "closed" && step.kind !== "hang up";
    }
    if (open) equal((await smtp.quit()).code, 221);
    const delivered = forMta(scenario.delivered ?? [], mta.kind);
    const mails = await mta.delivered(delivered.length);
    compareMails(
      "delivered",
      mails.map((mail) => ({ ...readable(mail), sender: mail.sender, recipient: mail.recipient })),
      delivered,
    );
    const held = (await mta.quarantined()).flatMap((mail) =>
      mail.recipients.map((recipient) => ({ ...readable(mail), sender: mail.sender, recipient }))
    );
    compareMails("quarantined", held, scenario.quarantined ?? []);
  }
  compareText("what the filter noted", notes.join("\n"), forMta(scenario.notes ?? [], mta.kind).join("\n"));
  await mta.clear();
}

async function take(step: Step, smtp: SmtpClient, mta: Mta): Promise<void> {
  switch (step.kind) {
    case "command":
      return compareReply(await smtp.command(step.line), step.reply, `"${step.line}"`, mta);
    case "message":
      return compareReply(await smtp.content(step.message), step.reply, "the message", mta);
    case "closed":
      return equal(await smtp.ended(), true, "the server closes the connection");
    case "hang up":
      return smtp.close();
  }
}

function compareReply(reply: Reply, expected: PerMta<ExpectedReply>, what: string, mta: Mta): void {
  const wanted = forMta(expected, mta.kind);
  const got = typeof wanted === "number" ? reply.code : reply.raw.replaceAll("\r\n", "\n").trimEnd();
  equal(
    got,
    typeof wanted === "number" ? wanted : wanted.trimEnd(),
    `the reply to ${what} is ${JSON.stringify(reply.raw)}`,
  );
}

interface Comparable {
  readonly sender: string;
  readonly recipient: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
}

function compareMails(what: string, got: readonly Comparable[], wanted: readonly Comparable[]): void {
  const outline = (mails: readonly Comparable[]) =>
    mails.map((mail) => `<${mail.sender}> to <${mail.recipient}>\n${textOf(mail.fields, shown(mail.body))}`)
      .join("\n");
  compareText(what, outline(got), outline(wanted));
  for (const [index, mail] of got.entries()) {
    const body = wanted[index].body;
    if (mail.body === body) continue;
    let at = 0;
    while (mail.body[at] === body[at]) at++;
    const near = (text: string) => JSON.stringify(text.slice(Math.max(at - 20, 0), at + 40));
    throw new Error(`${what}: bodies differ at ${at}: ${near(mail.body)} came, ${near(body)} was expected`);
  }
}

/** Large bodies are compared apart: a difference of millions of characters cannot be shown. */
function shown(body: string): string {
  return body.length > 10_000 ? `${body.length} bytes\n` : body;
}

function compareText(what: string, got: string, wanted: string): void {
  if (got === wanted) return;
  throw new AssertionError({
    message: `${what}\n--- expected\n${wanted}\n--- came\n${got}`,
    actual: got,
    expected: wanted,
  });
}

function readable(mail: StoredMail): { fields: [string, string][]; body: string } {
  const fields = mail.fields.map(([name, value]): [string, string] => [
    name,
    name === "Received" && /\n\tby mx\.lab\.example /.test(value) ? own : value,
  ]);
  return { fields, body: latin1(mail.body) };
}
