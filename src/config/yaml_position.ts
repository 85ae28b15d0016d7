/**
 * Where in a YAML text a value stands, for error messages: the YAML parser gives values without positions.
 *
 * @module
 */
import type { Node } from "./yaml_cursor.ts";
import { scanYaml } from "./yaml_scan.ts";

/** A place in a text; line and column count from 1, columns in UTF-16 units as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Keys and indexes from the root to a value. */
export type Path = readonly (string | number)[];

/** What was found for a path. */
export interface Located {
  /** Where the value begins, or its nearest parent if the value itself was not found. */
  readonly value: Position;
  /** Where the key of the last path element begins; undefined for list entries, the root, and values not found. */
  readonly key: Position | undefined;
  /** The scalar as written, without quotes removed; undefined for collections, aliases and values not found. */
  readonly source: string | undefined;
  /** True if the value itself was found, false if only a parent was. */
  readonly exact: boolean;
}

/** Finds values in one YAML text. */
export class YamlPositions {
  readonly #root: Node;
  readonly #lineStarts: readonly number[];

  /** @param text A YAML text that was parsed without error. A byte order mark is not counted as a column. */
  constructor(text: string) {
    text = text.replace(/^\ufeff/, "");
    this.#root = scanYaml(text);
    const starts = [0];
    for (const end of text.matchAll(/\r\n|\n|\r/g)) starts.push(end.index + end[0].length);
    this.#lineStarts = starts;
  }

  /** Finds the value at a path, or its nearest parent that is known. */
  locate(path: Path): Located {
    let node = this.#root;
    let key: Position | undefined;
    for (const step of path) {
      if (node.kind === "map" && node.entries.has(String(step))) {
        const entry = node.entries.get(String(step))!;
        node = entry.value;
        key = this.#position(entry.keyAt);
      } else if (node.kind === "list" && typeof step === "number" && step < node.items.length) {
        node = node.items[step];
        key = undefined;
      } else {
        return { value: this.#position(node.at), key: undefined, source: undefined, exact: false };
      }
    }
    const source = node.kind === "scalar" ? node.source : undefined;
    return { value: this.#position(node.at), key, source, exact: true };
  }

  #position(at: number): Position {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - this.#lineStarts[low] + 1 };
  }
}
