/**
 * What became of a mail in words: each link's part in it, and why the answer is what it is.
 *
 * @module
 */
import { soleReport } from "../chain/counters.ts";
import type { LinkReport } from "../session/plan.ts";
import { failureText } from "../session/policy.ts";
import type { ChainRun } from "../testing/run_filter.ts";
import { printable } from "../text/show.ts";
import { table } from "./args.ts";

/** Lines for a person: the reason, then a line a link. */
export function explanation({ report, shadows }: ChainRun): string {
  if (report === undefined) return "  no link has seen it\n";
  const links = (report.links ?? [soleReport(report)]).map((link) =>
    link.mode === "shadow" ? shadows.find((shadow) => shadow.link === link.link) ?? link : link
  );
  const why = report.why ??
    (report.failure === undefined
      ? `link "${report.filter}" answers ${report.verdict} at ${report.stage}`
      : `link "${report.filter}" failed in ${report.failure.hook} (${report.failure.kind}), and its policy is ` +
        report.failure.outcome);
  const rows = links.map((link): readonly [string, string] => [printable(link.link), wordsOf(link)]);
  return `  why: ${printable(why, 1000)}\n${table(rows)}`;
}

/** One link's part in a mail. */
export function wordsOf(link: LinkReport): string {
  const { mode, part, reason, stage, verdict, reply, refused, edits, ms, failure } = link;
  const words: string[] = [];
  if (part === "unconcerned") words.push(reason ?? "not concerned");
  else if (part === "waiting") words.push("not reached");
  else if (part === "working") words.push("was told that the mail ended before its last word");
  else words.push(`${verdict} at ${stage}${reply === undefined ? "" : `: ${printable(reply, 500)}`}`);
  if (failure !== undefined) {
    words.push(
      `${failureText(failure)}: ${printable(failure.message, 300)}; policy ${failure.outcome}`,
    );
  }
  if (refused > 0) words.push(`${refused} recipient${refused === 1 ? "" : "s"} refused`);
  if (edits > 0) words.push(`${edits} edit${edits === 1 ? "" : "s"}`);
  if (part === "answered" || part === "working") words.push(`${Math.round(ms * 10) / 10} ms`);
  return `${mode === "shadow" ? "(shadow) " : ""}${words.join(", ")}`;
}
