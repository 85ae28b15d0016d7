/**
 * What the links of a chain have done since it began, counted.
 *
 * @module
 */
import type { LinkReport, MailReport } from "../session/plan.ts";

/** Counts of one link. */
export interface LinkCounts {
  readonly link: string;
  readonly mode: LinkReport["mode"];
  /** Mails that it was asked about, and those that were not its concern. */
  mails: number;
  unconcerned: number;
  /** By verdict, `none` where it never said its last word. */
  readonly verdicts: Partial<Record<LinkReport["verdict"], number>>;
  edits: number;
  failures: number;
  /** Time spent in it, ms. */
  ms: number;
  /** Shadow: mails whose answer or edits would have been others with it. */
  differed: number;
  /** Shadow: mails that it did not see, because too many were waiting for it. */
  missed: number;
}

/** The counts of a chain. */
export class ChainCounters {
  readonly #counts = new Map<string, LinkCounts>();

  /** A link that is counted, in order. */
  add(link: string, mode: LinkReport["mode"]): void {
    this.#counts.set(link, {
      link,
      mode,
      mails: 0,
      unconcerned: 0,
      verdicts: {},
      edits: 0,
      failures: 0,
      ms: 0,
      differed: 0,
      missed: 0,
    });
  }

  /** Counts one mail. A shadow's own report comes after the mail's. */
  count(reports: readonly LinkReport[]): void {
    for (const report of reports) {
      const counts = this.#counts.get(report.link);
      if (counts === undefined || report.part === "waiting") continue;
      if (report.part === "unconcerned") {
        counts.unconcerned++;
        continue;
      }
      counts.mails++;
      counts.verdicts[report.verdict] = (counts.verdicts[report.verdict] ?? 0) + 1;
      counts.edits += report.edits;
      counts.ms += report.ms;
      if (report.failure !== undefined) counts.failures++;
    }
  }

  /** A shadow link would have changed what became of a mail. */
  differs(link: string): void {
    const counts = this.#counts.get(link);
    if (counts !== undefined) counts.differed++;
  }

  /** A shadow link did not see a mail. */
  misses(link: string): void {
    const counts = this.#counts.get(link);
    if (counts !== undefined) counts.missed++;
  }

  /** The counts so far. */
  all(): readonly Readonly<LinkCounts>[] {
    return [...this.#counts.values()];
  }
}

/** The report of the one link of a chain, from the mail's own. */
export function soleReport(report: MailReport): LinkReport {
  const { filter: link, stage, verdict, reply, refused, edits, ms, failure } = report;
  const part = verdict === "none" ? "working" : "answered";
  return {
    link,
    mode: "enforce",
    part,
    reason: undefined,
    stage,
    verdict,
    reply,
    refused,
    edits,
    ms,
    failure,
  };
}
