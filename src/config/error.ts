/**
 * What is wrong with a configuration, and where.
 *
 * @module
 */

/** One mistake. */
export interface ConfigIssue {
  /** Line, from 1. */
  readonly line: number;
  /** Column, from 1. */
  readonly column: number;
  /** The place in the configuration, for example `filters[0].timeout`; empty for the whole. */
  readonly path: string;
  /** What is wrong, what was expected, what to write instead. */
  readonly message: string;
}

/** The configuration cannot be used. The message holds one line a mistake: `FILE:LINE:COLUMN: PATH: what is wrong`. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** The file as given to {@linkcode parseConfig}. */
  readonly file: string;
  /** In the order of the text. */
  readonly issues: readonly ConfigIssue[];

  constructor(file: string, issues: readonly ConfigIssue[]) {
    super(
      issues.map(({ line, column, path, message }) =>
        `${file}:${line}:${column}: ${path && `${path}: `}${message}`
      )
        .join("\n"),
    );
    this.file = file;
    this.issues = issues;
  }
}
