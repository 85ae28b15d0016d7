/** Plays a scenario of three filters on an MTA and records all that came of it, in lines that can be compared. */
import { createHash } from "node:crypto";
import { AssertionError, equal } from "node:assert/strict";
import { createTwoFilesPatch } from "diff";
import { done } from "./chain_filter.ts";
import { type ChainScenario, type ChainStep, NAMES } from "./chain_scenario.ts";
import type { ServeScripts } from "./chain_serve.ts";
import type { StoredMail } from "./mailbox.ts";
import type { Mta, MtaKind } from "./mta.ts";
import { forMta, sample } from "./scenario.ts";
import { bytesOf, dotStuffed, latin1, type Reply } from "./smtp.ts";

/** What came of a scenario, without what is another each time: queue ids, times, the MTA's own Received. */
export interface Recorded {
  /** The SMTP conversation. */
  readonly talk: readonly string[];
  /** Mails delivered and held, one for each recipient, in the order of their lines. */
  readonly mails: readonly (readonly string[])[];
  /** What each filter noted, by its place. */
  readonly notes: readonly (readonly string[])[];
}

/** Sendmail keeps with a mail why it is held, Postfix does not. */
const REASON = "reason: ";

/** Plays a scenario and leaves the MTA empty for the next. */
export async function record(scenario: ChainScenario, mta: Mta, serve: ServeScripts): Promise<Recorded> {
  const served = await serve(scenario.filters);
  try {
    const talk = await converse(scenario.steps, mta);
    const mails = await mailsIn(mta);
    const notes = await served.end();
    return { talk, mails, notes: notes.map((lines) => lines.map(plain)) };
  } catch (error) {
    // what has happened says more than that this fails as well
    await served.end().catch(() => {});
    await mta.delivered(undefined).catch(() => {});
    throw error;
  } finally {
    await mta.clear();
  }
}

/** What the client says and is answered. QUIT at the end, unless the connection is closed before. */
async function converse(steps: readonly ChainStep[], mta: Mta): Promise<string[]> {
  const talk: string[] = [];
  const tell = (reply: Reply) => void talk.push(...linesOf(plain(reply.raw.replaceAll("\r\n", "\n"))));
  // a busy machine may take its time
  await using smtp = await mta.smtp({ timeout: 60_000 });
  tell(smtp.greeting);
  let { code } = smtp.greeting;
  for (const step of [...steps, "QUIT"]) {
    if (code === 421) {
      equal(await smtp.ended(), true, "after 421 the server closes the connection");
      return [...talk, "(closed)"];
    }
    if (typeof step !== "string" && "hangUp" in step) return [...talk, "> (hangs up)"];
    const lines = typeof step === "string" ? [step] : "together" in step ? step.together : ["DATA"];
    talk.push(...lines.map((line) => `> ${line}`));
    const all = bytesOf(lines.map((line) => `${line}\r\n`).join(""));
    for (const [n, line] of lines.entries()) {
      const reply = await smtp.send(n === 0 ? all : new Uint8Array(), `"${line}"`);
      tell(reply);
      code = reply.code;
    }
    if (code !== 354) continue;
    // a message is wanted that there is not
    if (typeof step === "string" || !("data" in step)) return [...talk, "> (hangs up)"];
    talk.push("> (the message)");
    const reply = await smtp.send(dotStuffed(step.bare ? bytesOf(step.data) : step.data), "the message");
    tell(reply);
    code = reply.code;
  }
  return talk;
}

/** What was delivered and held, as lines. */
async function mailsIn(mta: Mta): Promise<(readonly string[])[]> {
  const mails = (await mta.delivered(undefined)).map((mail) =>
    mailLines([`delivered to <${mail.recipient}> from <${mail.sender}>`], mail)
  );
  for (const mail of await mta.quarantined()) {
    const reason = mail.reason === undefined ? [] : [`${REASON}${mail.reason}`];
    for (const recipient of mail.recipients) {
      mails.push(mailLines([`held for <${recipient}> from <${mail.sender}>`, ...reason], mail));
    }
  }
  return mails.sort((a, b) => a.join("\n") < b.join("\n") ? -1 : 1);
}

/**
 * Checks that separate filters did what the scenario says: as many mails, and each act done.
 *
 * @throws {AssertionError} if not: the scenario would prove something else than it seems to.
 */
export function checkPremise(scenario: ChainScenario, kind: MtaKind, { mails, notes }: Recorded): void {
  const held = mails.filter(([what]) => what.startsWith("held"));
  count("delivered", mails.length - held.length, forMta(scenario.delivers, kind));
  count("held", held.length, forMta(scenario.holds ?? 0, kind));
  const unreached = forMta(scenario.unreached ?? [], kind);
  for (const [n, name] of NAMES.entries()) {
    const missed = (scenario.filters[n].acts ?? []).flatMap((act, index) =>
      notes[n].some((line) => line.includes(done(index))) ? [] : [`act ${index} at ${act.at}`]
    );
    if (!unreached.includes(name)) equal(missed.join(), "", `not reached in the ${name} filter`);
    else if (missed.length === 0) {
      throw new Error(`All acts of the ${name} filter are reached: it is no "unreached" one`);
    }
  }
}

function count(what: string, got: number, expected: number): void {
  equal(got, expected, `with separate filters ${got} mails are ${what}, ${expected} were expected`);
}

/**
 * What a chain must give, from what separate filters gave.
 *
 * @throws {Error} if a difference is declared that there is not.
 */
export function expectedOf(
  scenario: ChainScenario,
  kind: MtaKind,
  alone: Readonly<Record<MtaKind, Recorded>>,
): Recorded {
  const { differs } = scenario;
  let { talk, mails, notes } = alone[kind];
  if (differs?.like !== undefined && differs.like !== kind) {
    const model = alone[differs.like];
    const modelled = {
      talk,
      mails: differs.mailsStay ? mails : kind === "postfix" ? model.mails.map(withoutReason) : model.mails,
      notes: model.notes,
    };
    if (textOf({ talk, mails, notes }) === textOf(modelled)) {
      throw new Error(
        `"differs" says that separate filters show something else on ${kind} than on ${differs.like}; they do not`,
      );
    }
    ({ mails, notes } = modelled);
  }
  if (differs?.like !== kind) talk = replaced("the server", talk, differs?.talk);
  notes = notes.map((lines, n) => replaced(`the ${NAMES[n]} filter`, lines, differs?.notes?.[NAMES[n]]));
  return { talk, mails, notes };
}

/** Puts others in the place of some lines. @throws {Error} if one of them is not there. */
function replaced(
  who: string,
  lines: readonly string[],
  others: readonly (readonly [line: string, ...others: string[]])[] = [],
): readonly string[] {
  const missing = others.find(([line]) => !lines.includes(line));
  if (missing !== undefined) {
    throw new Error(`"differs" has a line that ${who} does not have: "${missing[0]}"`);
  }
  return lines.flatMap((line) => others.find(([other]) => other === line)?.slice(1) ?? [line]);
}

function withoutReason(mail: readonly string[]): readonly string[] {
  return mail.filter((line) => !line.startsWith(REASON));
}

/** @throws {AssertionError} with a line diff, if the records are not the same. */
export function compare(what: string, expected: Recorded, got: Recorded): void {
  const [wanted, came] = [textOf(expected), textOf(got)];
  if (wanted === came) return;
  const patch = createTwoFilesPatch("separate filters", "chain", wanted, came, "", "", { context: 4 });
  throw new AssertionError({ message: `${what}\n${patch.replace(/^=+\n/, "")}`, operator: "compare" });
}

function textOf({ talk, mails, notes }: Recorded): string {
  return [
    ...talk,
    ...mails.flatMap((lines) => ["", ...lines]),
    ...notes.flatMap((lines, n) => ["", `the ${NAMES[n]} filter noted`, ...lines.map((line) => `  ${line}`)]),
    "",
  ].join("\n");
}

/** A mail below lines that say what became of it: header as it is stored, body, each line marked. */
function mailLines(fate: readonly string[], mail: StoredMail): string[] {
  const raw = latin1(mail.raw);
  const header = raw.slice(0, raw.length - mail.body.length).replace(/\n$/, "");
  // a field is what a line begins that does not continue another one
  const fields = header.split(/\n(?![ \t])/).map((field) =>
    /^Received:/i.test(field) && field.includes("by mx.lab.example ")
      ? "Received: (the MTA's own)"
      : plain(field)
  );
  return [...fate, ...fields.flatMap(linesOf).map((line) => `| ${line}`), ...shortened(latin1(mail.body))];
}

/** All lines of a body, or of a large one its first and last ones, its length and hash. */
function shortened(body: string): string[] {
  const lines = linesOf(body).map((line) => `| ${line}`);
  const end = body === "" || body.endsWith("\n") ? [] : ["(no line end)"];
  if (body.length <= 10_000) return [...lines, ...end];
  const hash = createHash("sha256").update(bytesOf(body)).digest("hex");
  return [...lines.slice(0, 3), `(${body.length} bytes, SHA-256 ${hash})`, ...lines.slice(-3), ...end];
}

/** Lines of a text; the end of the last one counts for none. */
function linesOf(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}

const FIXED = "23 Nov 2026 04:00:00 +0000";

/** A text without what is another each time: queue ids, dates. */
function plain(text: string): string {
  return text
    .replaceAll(
      /[A-Z][a-z]{2}, +(\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?:[+-]\d{4}|GMT))(?: \([A-Z]+\))?/g,
      (date, rest) => rest === FIXED ? date : "(a date)",
    )
    .replaceAll(/<\d{12,14}\.\w+@mx\.lab\.example>/g, "<(an id)@mx.lab.example>")
    .replaceAll(/\{i\}=\w{8,}/g, "{i}=(an id)")
    .replace(/(Ok: queued as )\w+/, "$1(an id)")
    .replace(/^(250 2\.0\.0 )\w+( Message accepted for delivery)/, "$1(an id)$2");
}

if (!sample.message.includes(FIXED)) {
  throw new Error(`The usual mail is not of ${FIXED}: its date would not be compared`);
}
