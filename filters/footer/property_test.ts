// What holds for every mail, hostile ones too.
import assert from "node:assert/strict";
import fc from "fast-check";
import type { FilterRun } from "../../src/testing/run_filter.ts";
import { bytesOf, type Options, run, textOf } from "./run_mail_test.ts";
import { charsetOf } from "./charset.ts";
import { concat, decode, decodeQuoted, encode, insert, type TransferEncoding } from "./transfer.ts";

const OPTIONS: Options = { text: "-- \nMandated = text \u20ac" };
const FOOTER = "-- \r\nMandated = text \u20ac";

const rawBytes = fc.uint8Array({ maxLength: 300 });
// Pieces of mails, so that random ones come near to being mails.
const soup = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.constantFrom(
        ...[
          "--b",
          "--b--",
          "--c",
          "--c--",
          "--",
          "\r\n",
          "\r\n",
          "\r\n\r\n",
          "\n",
          "\r",
          " ",
          "\t",
          "=",
          "=\r\n",
          "=3D",
          "=C3",
        ],
        ...[
          "Content-Type: text/plain",
          "Content-Type: text/html; charset=iso-8859-1",
          "\r\n folded",
          "; format=flowed",
        ],
        ...[
          "Content-Type: multipart/mixed; boundary=c",
          'Content-Type: multipart/alternative; boundary="b"',
          "(",
          '"',
          ";",
        ],
        ...[
          "Content-Type: message/rfc822",
          "Content-Transfer-Encoding: quoted-printable",
          "Content-Disposition: attachment",
        ],
        ...[
          "Content-Transfer-Encoding: base64",
          "Content-Transfer-Encoding: 8bit",
          "aGVsbG8K",
          "; charset=gb18030",
          ": ",
        ],
        ...[
          "</body>",
          "<blockquote>",
          "hello",
          "\x1b$B",
          "\x1b(B",
          "-- \r\n",
          "> ",
          "\xe9",
          "\xc3\xa9",
          "\x00",
          "\xff\xfe",
        ],
      ),
    },
    { weight: 1, arbitrary: rawBytes.map(textOf) },
  ),
  { maxLength: 40 },
).map((pieces) => pieces.join(""));
const header = fc.constantFrom(
  "",
  "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
  "Content-Type: text/plain; charset=iso-8859-1; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n",
  "Content-Type: text/html; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n",
  "Content-Type: text/plain; charset=iso-2022-jp\r\n",
  "Content-Type: multipart/mixed; boundary=b\r\n",
  "Content-Type: multipart/alternative; boundary=b\r\n",
  "Content-Type: multipart/related; boundary=b\r\n",
  "Content-Type: multipart/signed; boundary=b\r\n",
  "Content-Type: multipart/digest; boundary=b\r\n",
);

function noteOf(result: FilterRun): string {
  return result.mail?.fields.findLast(({ name }) => name === "X-Footer")?.value ?? "";
}

function mailOf(head: string, body: string): Uint8Array {
  return bytesOf(`Subject: x\r\n${head}\r\n${body}`);
}

Deno.test("footer: no mail makes it throw, the note tells the truth, a second run finds the first", async () => {
  await fc.assert(
    fc.asyncProperty(header, fc.oneof(soup, rawBytes.map(textOf)), async (head, body) => {
      const first = await run(OPTIONS, mailOf(head, body));
      const replaced = first.edits.some(({ kind }) => kind === "replaceBody");
      assert.equal(noteOf(first).startsWith("added"), replaced, noteOf(first));
      if (!replaced) {
        assert.deepEqual(first.edits.map(({ kind }) => kind), ["insertHeader"]);
        return;
      }
      assert(first.mail);
      const fields = first.mail.fields.map(({ rawName, raw }) => `${textOf(rawName)}: ${textOf(raw)}\n`).join(
        "",
      );
      const second = await run(OPTIONS, concat(bytesOf(`${fields}\n`), first.mail.body));
      assert(!second.edits.some(({ kind }) => kind === "replaceBody"), noteOf(second));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("footer: a mail without a text part keeps every byte", async () => {
  const type = fc.constantFrom(
    "image/png",
    "application/pdf",
    "text/calendar",
    "message/rfc822",
    "video/x; charset=utf-8",
  );
  const boundary = "=_unlikely";
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(type, rawBytes), { minLength: 1, maxLength: 5 }), async (parts) => {
      const body = parts.map(([type, bytes]) =>
        `--${boundary}\r\nContent-Type: ${type}\r\n\r\n${textOf(bytes)}\r\n`
      );
      const text = `${body.join("")}--${boundary}--\r\n`;
      const result = await run(
        OPTIONS,
        mailOf(`Content-Type: multipart/mixed; boundary="${boundary}"\r\n`, text),
      );
      assert.equal(noteOf(result), "skipped (no text part)");
      assert.equal(result.edits.length, 1);
    }),
    { numRuns: 200 },
  );
});

// Text in a charset, with line ends and all that is special in quoted-printable or flowed text.
const CHARSETS = [
  "us-ascii",
  "iso-8859-1",
  "iso-8859-15",
  "utf-8",
  "windows-1251",
  "shift_jis",
  "gb2312",
  "euc-kr",
  "big5",
];
const ENCODINGS: readonly TransferEncoding[] = ["8bit", "quoted-printable", "base64"];
const letters: Readonly<Record<string, string>> = {
  "iso-8859-1": "\u00e9",
  "iso-8859-15": "\u20ac",
  "utf-8": "\u00e9\u20ac\u4e2d",
  "windows-1251": "\u041f",
  "shift_jis": "\u65e5\u30ab",
  "gb2312": "\u4e2d",
  "euc-kr": "\ud55c",
  "big5": "\u4e2d",
};
const textIn = fc.constantFrom(...CHARSETS).chain((charset) =>
  fc.record({
    charset: fc.constant(charset),
    text: fc.array(
      fc.constantFrom("\r\n", " ", "=", "a", "b ".repeat(60), "<p>", ".", ...letters[charset] ?? ""),
      { maxLength: 30 },
    )
      .map((pieces) => pieces.join("")),
  })
);

Deno.test("footer: a plain text keeps its meaning, ends with the footer, and all around it stays byte for byte", async () => {
  const noise = rawBytes.map(textOf).map((text) =>
    text.replaceAll("--=_", "").replaceAll("\r", "").replaceAll("\n", "\r\n")
  );
  await fc.assert(
    fc.asyncProperty(
      textIn,
      fc.constantFrom(...ENCODINGS),
      noise,
      noise,
      noise,
      async (part, encoding, pre, pdf, epi) => {
        const content = charsetOf(part.charset)?.encode(part.text);
        assert(content, part.charset);
        const mail = (header: string, content: string) =>
          `${pre}\r\n--=_x\r\n${header}\r\n\r\n${content}\r\n--=_x\r\nContent-Type: application/pdf\r\n\r\n${pdf}\r\n--=_x--\r\n${epi}`;
        const header =
          `Content-Type: text/plain; charset=${part.charset}\r\nContent-Transfer-Encoding: ${encoding}`;
        const before = mail(header, textOf(encode(content, encoding)));
        const result = await run(
          OPTIONS,
          mailOf('Content-Type: multipart/mixed; boundary="=_x"\r\n', before),
        );
        assert.equal(noteOf(result), "added");
        const after = textOf(result.mail?.body ?? new Uint8Array());
        const start = `${pre}\r\n--=_x\r\n`.length;
        const found =
          /^Content-Type: text\/plain; charset=(\S+)\r\nContent-Transfer-Encoding: (\S+)\r\n\r\n([^]*?)\r\n--=_x\r\n/
            .exec(after.slice(start));
        assert(found);
        const [, charset = "", newEncoding = "", newContent = ""] = found;
        assert.equal(
          after,
          mail(
            `Content-Type: text/plain; charset=${charset}\r\nContent-Transfer-Encoding: ${newEncoding}`,
            newContent,
          ),
        );
        const coding = ENCODINGS.find((name) => name === newEncoding);
        assert(coding);
        const decoded = decode(bytesOf(newContent), coding);
        const text = charsetOf(charset)?.decode(decoded ?? new Uint8Array()) ?? "";
        assert(text.startsWith(part.text), text);
        assert.equal(text.slice(part.text.length).replace(/^(\r\n)+/, "").trimEnd(), FOOTER);
        assert(part.text.trim() === "" || text.includes(`\r\n\r\n${FOOTER}`), text);
        if (coding !== "8bit") {
          for (const line of newContent.split("\r\n")) {
            assert(
              line.length <= 76,
              line,
            );
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("footer: quoted-printable and base64 give back what they were given, in lines of 76", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...ENCODINGS), (bytes, encoding) => {
      const coded = encode(bytes, encoding);
      assert.deepEqual(textOf(decode(coded, encoding) ?? new Uint8Array()), textOf(bytes));
      if (encoding !== "8bit") {
        for (const line of textOf(coded).split("\r\n")) assert(line.length <= 76, line);
      }
    }),
  );
});

Deno.test("footer: quoted-printable takes a piece at any character", () => {
  const encoded = fc.array(
    fc.constantFrom("a", "=3D", "=\r\n", "\r\n", "= \r\n", "=e9", "=G", "x y", " ", "z".repeat(70)),
    { maxLength: 12 },
  )
    .map((pieces) => bytesOf(pieces.join("")));
  const piece = fc.array(fc.constantFrom("p", "=", " ", "\r\n", "\xe9"), { minLength: 1, maxLength: 100 })
    .map((pieces) => bytesOf(pieces.join("")));
  fc.assert(
    fc.property(encoded, piece, fc.nat(), (content, piece, place) => {
      const { decoded } = decodeQuoted(content);
      let at = place % (decoded.length + 1);
      // A line end is one thing; the filter puts nothing into the middle of it.
      if (decoded[at - 1] === 0x0d && decoded[at] === 0x0a) at--;
      const coded = insert(content, decoded, "quoted-printable", at, piece);
      const expected = concat(decoded.subarray(0, at), piece, decoded.subarray(at));
      assert.equal(textOf(decodeQuoted(coded).decoded), textOf(expected));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("footer: any value of Content-Type is taken or refused", async () => {
  const piece = fc.constantFrom(
    ...[
      "text/",
      "plain",
      "html",
      ";",
      "=",
      "charset",
      "boundary",
      '"',
      "(",
      ")",
      "\\",
      " ",
      "\n\t",
      "\r",
      "/",
      "*0",
    ],
    ...["utf-8", "iso-8859-1", "\xe9", "; charset=utf-8", ";charset=x", "multipart/mixed", "x".repeat(5000)],
  );
  const value = fc.oneof(
    fc.array(piece, { maxLength: 20 }),
    fc.array(piece, { maxLength: 6 }).map((pieces) => ["text/plain; ", ...pieces]),
  ).map((pieces) => pieces.join(""));
  await fc.assert(
    fc.asyncProperty(value, async (value) => {
      const result = await run(OPTIONS, mailOf(`Content-Type: ${value}\r\n`, "hello\r\n"));
      assert.match(
        noteOf(result),
        /^(?:added|skipped \((?:malformed MIME: .+|unknown charset|no text part)\))$/,
      );
    }),
    { numRuns: 1000 },
  );
});
