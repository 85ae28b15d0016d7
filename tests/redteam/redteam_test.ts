/**
 * The red team: hostile filters beside a good one under load, in a process with rights of its own that the sandboxes
 * do not get. MILLRACE_REDTEAM_ROUNDS sets the mails of each; by default 20 of the cheap ones and 1 of those that cost a
 * sandbox each. MILLRACE_REDTEAM_ONLY picks by name.
 */
import assert from "node:assert/strict";
import { TextLineStream } from "./lines.ts";
import type { ArenaEnd, Measure, Outcome } from "./arena_types.ts";
import { SOURCE } from "./sandboxes.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

async function look(pid: number): Promise<Measure> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`, `/proc/${pid}/stat`] })
    .output();
  const text = new TextDecoder().decode(stdout);
  const stat = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    threads: Number(/^Threads:\s+(\d+)/m.exec(text)?.[1]),
    rss: Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1]),
    cpu: 10 * (Number(stat[11]) + Number(stat[12])),
  };
}

Deno.test({
  name: "hostile filters get nothing, end alone, and leave nothing",
  ignore: Deno.build.os !== "linux",
  fn: async (t) => {
    const rounds = Deno.env.get("MILLRACE_REDTEAM_ROUNDS") || undefined;
    const map = (await new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "imports"],
      cwd: ROOT,
    }).output()).stdout;
    const folder = await Deno.makeTempDir({ prefix: "millrace-redteam-" });
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "--no-prompt",
          "--allow-import",
          "--deny-import",
          "--unstable-worker-options",
          // What `threads` needs: it must not open anything to sandboxes.
          "--unstable-net",
          "--no-check",
        ],
        ...new TextDecoder().decode(map).trim().split(/\s+/).filter((word) =>
          word.startsWith("--import-map")
        ),
        // Rights that the process has and the sandboxes must not have.
        ...[
          `--allow-read=${SOURCE},${ROOT}tests,/etc`,
          "--allow-env=PATH,HOME",
          "--allow-net=127.0.0.1",
          `--allow-write=${folder}`,
        ],
        `${ROOT}tests/redteam/arena.ts`,
        rounds ?? "20",
        rounds ?? "1",
        Deno.env.get("MILLRACE_REDTEAM_ONLY") ?? "",
      ],
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const errors = new Response(child.stderr).text();
    const input = child.stdin.getWriter();
    const table: string[] = [];
    let end: ArenaEnd | undefined;
    for await (
      const line of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    ) {
      const said = JSON.parse(line) as { ask?: string; outcome?: Outcome; measure?: Measure; end?: ArenaEnd };
      if (said.ask !== undefined) {
        await input.write(new TextEncoder().encode(JSON.stringify(await look(child.pid))));
      }
      if (said.end !== undefined) end = said.end;
      const { outcome, measure } = said;
      if (outcome === undefined) continue;
      const kinds = Object.entries(outcome.kinds).map(([kind, count]) => `${count} ${kind}`).join(", ");
      table.push(
        [
          outcome.name.padEnd(26),
          outcome.tries.slice(0, 48).padEnd(48),
          kinds.padEnd(24),
          `${outcome.lines} lines`.padStart(9),
          `${outcome.goodMails} good`.padStart(10),
          `${measure!.threads} threads`.padStart(11),
          `${Math.round(measure!.rss / 1024)} MiB`.padStart(8),
        ].join(" | "),
      );
      await t.step(`${outcome.name}: ${outcome.tries}`, () => {
        const played = Object.values(outcome.kinds).reduce((sum, count) => sum + count, 0);
        assert(
          outcome.rounds > 0 && played === outcome.rounds,
          `${played} of ${outcome.rounds} rounds were played`,
        );
        assert.deepEqual(outcome.got, [], "what it got hold of");
        assert.deepEqual(outcome.wrong, [], "what went wrong");
        assert(outcome.goodMails > 0, "the good filter had mails meanwhile");
        assert(
          outcome.lines <= 60 + 10 * outcome.rounds,
          `${outcome.lines} log lines in ${outcome.rounds} rounds`,
        );
      });
    }
    await input.close();
    const { code } = await child.status;
    await Deno.remove(folder, { recursive: true });
    console.log(`\n${table.join("\n")}`);
    assert.equal(code, 0, await errors);
    assert(end !== undefined);
    const { before, after, idleCpu, own, mails, wrong, slowest, failures } = end;
    console.log(
      `threads ${before.threads} before, ${after.threads} after; memory ${before.rss >> 10} MiB before, ` +
        `${after.rss >> 10} after (${
          own >> 20
        } of it the runtime's own heap); ${mails} good mails, the slowest ${
          Math.round(slowest)
        } ms; ${idleCpu} ms of processor in the last 500`,
    );
    await t.step("every mail of the good filter got its answer", () => {
      // Together, so that a wrong answer comes with its reason.
      assert.deepEqual({ wrong, failures: failures.slice(0, 5) }, { wrong: [], failures: [] });
      assert(mails > 500, `${mails} mails`);
    });
    await t.step("no thread and no memory stayed behind", () => {
      assert(after.threads <= before.threads, `${before.threads} threads before, ${after.threads} after`);
      // The process's memory swings, with many mails and many threads; one fill left behind would be more than that.
      assert(after.rss <= before.rss + 160 * 1024, `${before.rss} KiB before, ${after.rss} after`);
      assert(idleCpu < 250, `${idleCpu} ms of processor time in an idle half second: something spins`);
    });
  },
});
