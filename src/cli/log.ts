/**
 * The log of `millrace serve`: one line per mail, one per event, through LogTape.
 *
 * @module
 */
import { configureSync, getLogger, type Logger, type LogRecord, resetSync } from "@logtape/logtape";
import type { LOG_FORMATS, LOG_LEVELS } from "../config/schema.ts";
import type { Log } from "../filter/mod.ts";
import type { SandboxLog } from "../links/sandbox/sandbox_link.ts";
import type { ServerLog } from "../server/serve.ts";
import type { LinkReport, MailReport } from "../session/plan.ts";
import type { Failure } from "../session/policy.ts";
import { wordsOf } from "./explain.ts";
import type { Output } from "./io.ts";
import { jsonLine, type LogLine, textLine } from "./log_format.ts";
import { LogSink } from "./log_sink.ts";

type Level = (typeof LOG_LEVELS)[number];

/** What the configuration says about the log. */
export interface LogOptions {
  readonly format: (typeof LOG_FORMATS)[number];
  readonly level: Level;
}

/** The open log. */
export interface OpenLog {
  readonly server: ServerLog;
  /** The log that a filter gets; its lines bear the filter's name. */
  filter(name: string): Log;
  /** Takes whole lines that another thread has made, as bytes. */
  lines(bytes: Uint8Array): void;
  /** Goes on with other options, from the next line on. */
  configure(options: LogOptions): void;
  /** Writes what is left. Afterwards nothing is logged. */
  close(): Promise<void>;
}

/** LogTape says `warning`. */
const TO_LOGTAPE = { debug: "debug", info: "info", warn: "warning", error: "error" } as const;
const FROM_LOGTAPE: Readonly<Record<LogRecord["level"], Level>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
};

/** Opens the log on an output. There is one at a time: LogTape is configured for the whole process. */
export function openLog(options: LogOptions, output: Output): OpenLog {
  let asText = false;
  const format = (line: LogLine) => asText ? textLine(line, output.color) : jsonLine(line);
  const sink = new LogSink(
    (bytes) => output.writeLater(bytes),
    (count) =>
      format({
        time: Date.now(),
        level: "warn",
        message: "log lines were dropped: what reads the log is too slow",
        fields: { dropped: count },
      }),
  );
  const configure = ({ format: wanted, level }: LogOptions): void => {
    asText = wanted === "text" || wanted === "auto" && output.isTerminal;
    configureSync({
      reset: true,
      sinks: {
        lines: ({ timestamp, level, rawMessage, properties }) =>
          sink.push(
            format({
              time: timestamp,
              level: FROM_LOGTAPE[level],
              message: String(rawMessage),
              fields: properties,
            }),
          ),
      },
      loggers: [
        { category: ["millrace"], lowestLevel: TO_LOGTAPE[level], sinks: ["lines"] },
        { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["lines"] },
      ],
    });
  };
  configure(options);
  const server = getLogger(["millrace", "server"]);
  return {
    server: {
      mail: (report) => {
        const level = report.failure === undefined ? "info" : "warn";
        if (server.isEnabledFor(TO_LOGTAPE[level])) write(server, level, "mail", mailFields(report, asText));
      },
      // Whoever is not there is told of once by its link; each mail has it in its own line.
      failure: (failure) =>
        write(
          server,
          failure.kind === "unavailable" ? "debug" : "error",
          "filter failed",
          failureFields(failure),
        ),
      event: (level, message, fields) => write(server, level, message, fields),
    },
    filter: (name) => filterLog(name),
    lines: (bytes) => sink.pushBytes(bytes),
    configure,
    async close() {
      await sink.drain();
      resetSync();
    },
  };
}

/** LogTape would fill `{name}` in a message from the fields; messages of others are not templates. */
function write(
  logger: Logger,
  level: Level,
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  if (!logger.isEnabledFor(TO_LOGTAPE[level])) return;
  logger.emit({
    level: TO_LOGTAPE[level],
    message: [message],
    rawMessage: message,
    timestamp: Date.now(),
    properties: { ...fields },
  });
}

/** The fields of a mail's line, those that people look for first. */
function mailFields(report: MailReport, asText: boolean): Record<string, unknown> {
  const { queueId, client, sender, recipients, refused, stage, verdict, reply, edits, ms, filter, why } =
    report;
  return {
    queue: queueId ?? "-",
    client: client ?? "-",
    sender: sender ?? "-",
    // None are known where the filter did not ask for them.
    recipients: recipients > 0 ? recipients : undefined,
    refused: refused > 0 ? refused : undefined,
    verdict,
    stage,
    reply,
    edits,
    ms: Math.round(ms * 10) / 10,
    filter,
    failure: report.failure?.kind,
    why,
    links: asText ? report.links?.map(linkText).join("; ") : report.links?.map(linkFields),
  };
}

/** One link's part, for people who look at a terminal. */
function linkText(link: LinkReport): string {
  return `${link.link}: ${wordsOf(link)}`;
}

/** One link's part, for programs; without what there is nothing to say of. */
function linkFields({ failure, ...rest }: LinkReport): Record<string, unknown> {
  const words = failure && { kind: failure.kind, hook: failure.hook, outcome: failure.outcome };
  return Object.fromEntries(
    Object.entries({ ...rest, failure: words }).filter(([, value]) => value !== undefined && value !== 0),
  );
}

function failureFields({ kind, filter, hook, message, outcome }: Failure): Record<string, unknown> {
  return { filter, hook, kind, outcome, error: message };
}

function filterLog(name: string): Log {
  const logger = getLogger(["millrace", "filter", name]);
  const at = (level: Level) => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    // The filter's fields stand in a place of their own, so that they cannot pass for the runtime's.
    write(logger, level, String(message), fields === undefined ? { filter: name } : { filter: name, fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A log for commands that end soon: text, at once, from `info` up. */
export function directLog(output: Output, name: string): Log {
  const at = (level: Level) => (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
    output.write(
      textLine(
        { time: Date.now(), level, message: String(message), fields: { ...fields, filter: name } },
        output.color,
      ),
    );
  return { debug: () => {}, info: at("info"), warn: at("warn"), error: at("error") };
}

/** What {@linkcode directLog} is for the links of a chain, whose lines bear their names. */
export function directChainLog(output: Output): Log {
  const event = directEvents(output);
  const at = (level: Level) => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    event(level, String(message), fields);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** What {@linkcode directLog} is for filters in this isolate, for sandboxes and what is in them. */
export function directEvents(output: Output): SandboxLog["event"] {
  return (level, message, fields = {}) => {
    if (level === "debug") return;
    output.write(textLine({ time: Date.now(), level, message, fields: { ...fields } }, output.color));
  };
}
