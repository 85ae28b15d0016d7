/**
 * Stand-in for `@std/yaml` on sites that reach npm but not JSR: `parse` over js-yaml, from which @std/yaml descends.
 *
 * The schema is put together so that the same text gives the same values: `0660` is octal as in YAML 1.1,
 * `yes` and `on` stay strings, dates become `Date`, `<<` merges. Errors have the same class, with `line` and
 * `column` counted from 1. The wording of an error differs: @std/yaml says "Cannot store mapping pair:
 * duplicated key", js-yaml "duplicated mapping key". So read `line` and `column`, never the words.
 *
 * @module
 */

import { CORE_SCHEMA, intYaml11Tag, loadAll, mergeTag, timestampTag, YAMLException } from "js-yaml";

const SCHEMA = CORE_SCHEMA.withTags(intYaml11Tag, timestampTag, mergeTag);

/** A place in the YAML text. */
export interface YamlPosition {
  /** Line, from 1. */
  readonly line: number;
  /** Column, from 1. */
  readonly column: number;
  /** Characters before the place, from 0. */
  readonly offset: number;
}

/** The text is not the YAML that was expected. Same shape as in @std/yaml. */
export class YamlSyntaxError extends SyntaxError {
  readonly line: number;
  readonly column: number;
  readonly offset: number;
  /** The line in question with a caret below it. */
  readonly snippet?: string;

  constructor(message: string, position: YamlPosition, snippet?: string) {
    const where = `${message} at line ${position.line}, column ${position.column}`;
    super(snippet ? `${where}:\n${snippet}` : where);
    this.name = "YamlSyntaxError";
    this.line = position.line;
    this.column = position.column;
    this.offset = position.offset;
    if (snippet !== undefined) this.snippet = snippet;
  }
}

/**
 * Parses one YAML document; an empty text gives `null`.
 *
 * @throws {YamlSyntaxError} where the text is not one well-formed YAML document, or repeats a key
 */
export function parse(content: string): unknown {
  try {
    const documents = loadAll(content, { schema: SCHEMA });
    if (documents.length < 2) return documents[0] ?? null;
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { line = 0, column = 0, position = 0, snippet } = error.mark ?? {};
    throw new YamlSyntaxError(
      error.reason,
      { line: line + 1, column: column + 1, offset: position },
      snippet ?? undefined,
    );
  }
  throw new SyntaxError("Found more than 1 document in the stream: expected a single document");
}
