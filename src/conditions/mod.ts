/**
 * Conditions on mail, for whoever decides by them: the schema of `when`, and what a condition says of a mail.
 *
 * The evaluation alone, without the packages of the schema, is `condition.ts`.
 *
 * @module
 */
export { ALWAYS, type Condition, evaluate, type Facts, type Leaf } from "./condition.ts";
export { conditionText } from "./condition_text.ts";
export { expected, fieldName, map, oneOrMany, parsed } from "./fields.ts";
export { asksRecipient, leavesOf, macrosOf, macrosToAsk, needsOf } from "./needs.ts";
export { knownWith, only, type Stage, type StageSet } from "./stages.ts";
export { type Turns, turnsOf } from "./turns.ts";
export { when } from "./when.ts";
