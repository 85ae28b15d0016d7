/** Scenarios of three filters: each edits the header, and the later ones see and number it as the earlier ones left it. */
import { add, change, edited, insert, listed, remove } from "./chain_edits.ts";
import type { ChainScenario, Difference } from "./chain_scenario.ts";

const additions = [
  edited("all add a field", add("X-A", "1"), add("X-B", "2"), add("X-C", "3")),
  edited("all add a field of one name", add("X-A", "1"), add("X-A", "2"), add("x-a", "3")),
  edited(
    "all add a field of a name that the mail has",
    add("X-Test", "1"),
    add("X-Test", "2"),
    add("X-Test", "3"),
  ),
  edited("nobody edits", [], [], []),
  edited("only the third edits", [], [], change("Subject", "new")),
  edited("only the first edits", change("Subject", "new"), [], []),
  edited(
    "folded, empty and 8-bit values are added, and changed by those who see them",
    [add("X-Fold", "one\n\ttwo\n three"), add("X-Empty", ""), add("X-Bytes", "a\xff\x80b")],
    [change("X-Fold", "four\n five"), change("X-Empty", "full")],
    [change("X-Bytes", "\xe9\n\t\xc3\xa9"), add("X-Empty", ""), change("X-Folded", "a\n b")],
  ),
  edited(
    "a long folded value is added, then changed",
    add("X-Long", Array.from({ length: 60 }, (_, n) => `part ${n} ${"x".repeat(50)}`).join("\n ")),
    add("X-Other", "here"),
    change("X-Long", Array.from({ length: 50 }, (_, n) => `new ${n} ${"y".repeat(60)}`).join("\n\t")),
  ),
];

const HIDDEN: Difference = {
  why:
    "from 2 on Sendmail counts its hidden default fields too, which no filter knows of: a chain hands on the same " +
    "number, and shows the later filters the field where Postfix puts it",
  like: "postfix",
  mailsStay: true,
};

const insertions = [
  edited("all insert at 0", insert(0, "X-A", "1"), insert(0, "X-B", "2"), insert(0, "X-C", "3")),
  edited("all insert at 1", insert(1, "X-A", "1"), insert(1, "X-B", "2"), insert(1, "X-C", "3")),
  edited("inserted at 0, at 1, at 0", insert(0, "X-A", "1"), insert(1, "X-B", "2"), insert(0, "X-C", "3")),
  edited("inserted at 1, at 0, at 1", insert(1, "X-A", "1"), insert(0, "X-B", "2"), insert(1, "X-C", "3")),
  edited(
    "each inserts twice",
    [insert(0, "X-A", "1"), insert(0, "X-A", "2")],
    [insert(1, "X-B", "3"), insert(0, "X-B", "4")],
    [insert(0, "X-C", "5"), insert(1, "X-C", "6")],
  ),
  edited("inserted at 2, at 3, at 5", insert(2, "X-A", "1"), insert(3, "X-B", "2"), insert(5, "X-C", "3"), {
    differs: HIDDEN,
  }),
  edited("all insert at 4", insert(4, "X-A", "1"), insert(4, "X-B", "2"), insert(4, "X-C", "3"), {
    differs: HIDDEN,
  }),
  edited(
    "inserted far below, added, inserted far below",
    insert(1000, "X-A", "1"),
    add("X-B", "2"),
    insert(5000, "X-C", "3"),
  ),
  edited("added, inserted at 0, added", add("X-A", "1"), insert(0, "X-B", "2"), add("X-C", "3")),
  edited(
    "inserted at 0, changed, inserted above",
    insert(0, "X-A", "1"),
    change("X-A", "changed"),
    insert(0, "X-A", "3"),
  ),
  edited(
    "inserted at 0, removed, inserted again",
    insert(0, "X-A", "1"),
    remove("X-A"),
    insert(0, "X-A", "3"),
  ),
  edited(
    "inserted at 1, removed by the third",
    insert(1, "X-A", "1"),
    insert(0, "X-B", "2"),
    remove("X-A", 1),
  ),
  edited(
    "inserted at 0 with a name that the mail has: later ones count it first",
    insert(0, "X-Test", "0"),
    [change("X-Test", "zero", 1), change("X-Test", "second", 3)],
    remove("X-Test", 2),
  ),
  edited(
    "inserted Received: the later ones count it before the client's",
    insert(0, "Received", "from here by there.example; Mon, 23 Nov 2026 04:00:00 +0000"),
    change("Received", "from here by elsewhere.example; Mon, 23 Nov 2026 04:00:00 +0000", 1),
    remove("Received", 2),
  ),
];

const changes = [
  edited("all change one field", change("Subject", "1"), change("Subject", "2"), change("Subject", "3")),
  edited(
    "each changes one of two fields",
    change("X-Test", "1", 2),
    change("X-Test", "2", 1),
    change("X-Test", "3", 2),
  ),
  edited(
    "a name is spelt otherwise by each",
    change("SUBJECT", "1"),
    change("subject", "2"),
    change("sUbject", "3"),
  ),
  edited(
    "a field of another case is added, changed and removed",
    add("x-test", "lower"),
    change("X-TEST", "upper", 3),
    remove("x-Test", 1),
  ),
  edited(
    "changed beyond the last, changed, removed",
    change("X-New", "1"),
    change("X-New", "2"),
    remove("X-New"),
  ),
  edited(
    "all change beyond the last",
    change("X-New", "1"),
    change("X-New", "2", 2),
    change("X-New", "3", 9),
  ),
  edited(
    "changed beyond the last of two",
    change("X-Test", "1", 3),
    change("X-Test", "2", 3),
    change("X-Test", "3", 4),
  ),
  edited("an added field is changed twice", add("X-A", "1"), change("X-A", "2"), change("X-A", "3")),
  edited(
    "of two added fields each other changes one",
    [add("X-A", "1"), add("X-A", "2")],
    change("X-A", "second", 2),
    change("X-A", "first", 1),
  ),
  edited(
    "fields that the MTA cares about are changed",
    change("From", "Other <other@client.example>"),
    change("Message-ID", "<2@client.example>"),
    change("Date", "Mon, 23 Nov 2026 05:00:00 +0100"),
  ),
];

const removals = [
  edited("an added field is removed, and added again", add("X-A", "1"), remove("X-A"), add("X-A", "3")),
  edited("all remove all fields of a name", remove("X-Test"), remove("X-Test", 1), remove("X-Test")),
  edited("each removes another field", remove("Subject"), remove("X-Folded"), remove("To")),
  edited(
    "the last of a name is removed by each",
    remove("X-Test", 2),
    remove("X-Test", 1),
    remove("X-Test", 1),
  ),
  edited(
    "a field is removed, added, changed",
    remove("Subject"),
    add("Subject", "2"),
    change("Subject", "3"),
  ),
  edited(
    "a field is changed, removed, changed",
    change("Subject", "1"),
    remove("Subject"),
    change("Subject", "3"),
  ),
  edited(
    "all of a name are removed, one is added, it is changed",
    remove("X-Test"),
    add("X-Test", "2"),
    change("X-Test", "3"),
  ),
  edited(
    "the client's Received is removed, another inserted, and one more",
    remove("Received", 1),
    insert(1, "Received", "from b by c.example; Mon, 23 Nov 2026 04:00:00 +0000"),
    insert(0, "Received", "from c by d.example; Mon, 23 Nov 2026 04:00:00 +0000"),
  ),
  edited(
    "the first of two is removed, the other changed",
    remove("X-Test", 1),
    change("X-Test", "2"),
    change("X-Test", "3"),
  ),
  edited(
    "the first of two is removed by each",
    remove("X-Test", 1),
    remove("X-Test", 1),
    add("X-Test", "3"),
  ),
  edited("the first of two is removed, the other is the only one", remove("X-Test", 1), [], remove("X-Test")),
  edited(
    "the first is removed and the second changed, then what is left is changed",
    [remove("X-Test", 1), change("X-Test", "1", 2)],
    change("X-Test", "2", 1),
    add("X-Test", "3"),
  ),
];

/** All of them. */
export const headerScenarios: readonly ChainScenario[] = listed("header", [
  ...additions,
  ...insertions,
  ...changes,
  ...removals,
]);
