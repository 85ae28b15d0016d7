/**
 * What conditions need: data of the mail, macros of the MTA.
 *
 * @module
 */
import type { MacroRequest, Need } from "../filter/mod.ts";
import type { Condition, Leaf } from "./condition.ts";
import { macroOf, type MacroPlace, placeOf } from "./macros.ts";

/** All leaves of a condition. */
export function leavesOf(condition: Condition): readonly Leaf[] {
  switch (condition.kind) {
    case "all":
    case "any":
      return condition.of.flatMap(leavesOf);
    case "not":
      return leavesOf(condition.of);
    default:
      return [condition];
  }
}

/** What the condition reads of the mail. Macros are not among it: MTAs send them also where the command is switched off. */
export function needsOf(condition: Condition): readonly Need[] {
  return leavesOf(condition).flatMap(needsOfLeaf);
}

function needsOfLeaf(leaf: Leaf): readonly Need[] {
  switch (leaf.kind) {
    case "client":
    case "clientHost":
      return ["client"];
    case "helo":
      return ["helo"];
    case "sender":
      return ["sender"];
    case "recipient":
      return ["recipients"];
    case "header":
    case "headerMissing":
      return ["headers"];
    case "sizeOver":
    case "sizeUnder":
      // The sender's SIZE argument, and what came: header and body.
      return ["sender", "headers", "body"];
    default:
      return [];
  }
}

/** Does the answer depend on the recipient? */
export function asksRecipient(condition: Condition): boolean {
  return leavesOf(condition).some((leaf) => leaf.kind === "recipient");
}

/** The macros that a leaf reads, without braces. */
function macrosOfLeaf(leaf: Leaf): readonly string[] {
  switch (leaf.kind) {
    case "authenticated":
    case "tls":
    case "daemon":
    case "macro":
      return [macroOf(leaf)];
    default:
      return [];
  }
}

/**
 * All macros that the condition reads, by the stage whose list they belong in: for whoever gives an MTA a list of its
 * own for such a stage, which takes the place of the MTA's.
 */
export function macrosOf(condition: Condition): MacroRequest {
  return requestOf(leavesOf(condition).flatMap(macrosOfLeaf), () => true);
}

/**
 * The macros that have to be asked for, by stage, each list with all that the condition reads there. Undefined if all
 * of them come unasked.
 */
export function macrosToAsk(condition: Condition): MacroRequest | undefined {
  const names = leavesOf(condition).flatMap(macrosOfLeaf);
  const stages = new Set(names.map(placeOf).filter(({ unasked }) => !unasked).flatMap(({ lists }) => lists));
  return stages.size === 0 ? undefined : requestOf(names, (stage) => stages.has(stage));
}

type MacroStage = MacroPlace["lists"][number];

function requestOf(names: readonly string[], wanted: (stage: MacroStage) => boolean): MacroRequest {
  const lists: { [stage in MacroStage]?: string[] } = {};
  for (const name of new Set(names)) {
    for (const stage of placeOf(name).lists.filter(wanted)) {
      (lists[stage] ??= []).push(name.length === 1 ? name : `{${name}}`);
    }
  }
  return lists;
}
