/**
 * Stand-in for `@std/yaml` on sites that reach npm but not JSR: `parse` over js-yaml, from which @std/yaml descends.
 *
 * The schema is put together so that the same text gives the same values: `0660` is octal as in YAML 1.1,
 * `yes` and `on` stay strings, dates become `Date`, `<<` merges. Errors have the same class, with `line` and
 * `column` counted from 1. What differs: the wording of an error (@std/yaml says "Cannot store mapping pair:
 * duplicated key", js-yaml "duplicated mapping key"), the place of one at the end of the text (js-yaml names the
 * last character, @std/yaml the line after it), tabs as indentation (js-yaml refuses them), and the tags
 * `!!binary`, `!!set`, `!!omap`, `!!pairs`, which are errors here. So read `line` and `column`, never the words.
 *
 * @module
 */

import {
  CORE_SCHEMA,
  defineScalarTag,
  floatCoreTag,
  intYaml11Tag,
  loadAll,
  mergeTag,
  NOT_RESOLVED,
  timestampTag,
  YAMLException,
} from "js-yaml";

/** YAML 1.1 integers, but `10:30` is text and no number in base 60. */
const intTag = defineScalarTag(intYaml11Tag.tagName, {
  ...intYaml11Tag,
  resolve: (text, isExplicit, tag) =>
    text.includes(":") ? NOT_RESOLVED : intYaml11Tag.resolve(text, isExplicit, tag),
});

/** `08` is no octal number, and no decimal one either: text. */
const floatTag = defineScalarTag(floatCoreTag.tagName, {
  ...floatCoreTag,
  resolve: (text, isExplicit, tag) =>
    /^[-+]?0\d/.test(text) ? NOT_RESOLVED : floatCoreTag.resolve(text, isExplicit, tag),
});

const SCHEMA = CORE_SCHEMA.withTags(intTag, floatTag, timestampTag, mergeTag);

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
    if (documents.length > 1) throw new YAMLException("more than one document: expected a single one");
    return documents[0] ?? null;
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { line = 0, column = 0, position = 0, snippet } = error.mark ?? {};
    throw new YamlSyntaxError(
      error.reason,
      { line: line + 1, column: column + 1, offset: position },
      snippet ?? undefined,
    );
  }
}
