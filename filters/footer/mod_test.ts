// What the footer filter makes of whole mails. Texts hold one character a byte, and LF for CRLF.
import assert from "node:assert/strict";
import { type Options, runText } from "./run_mail_test.ts";

const ASCII: Options = { text: "Mandated text" };
const EURO: Options = { text: "Fee: 5 \u20ac" };

interface Case {
  readonly name: string;
  readonly options?: Options;
  /** From Content-Type on; a Subject before it and X-Footer behind it are the same everywhere. */
  readonly mail: string;
  readonly expected: string;
}

const CASES: readonly Case[] = [
  {
    name: "no Content-Type, 7-bit footer: only the text grows",
    mail: "\nHello\n",
    expected: "X-Footer: added\n\nHello\n\nMandated text\n",
  },
  {
    name: "an empty body gets the text without a blank line",
    mail: "\n",
    expected: "X-Footer: added\n\nMandated text\n",
  },
  {
    name: "a text that ends with an empty line needs no other",
    mail: "\nHello\n\n",
    expected: "X-Footer: added\n\nHello\n\nMandated text\n",
  },
  {
    name: "a body without a line end at its end",
    mail: "\nHello",
    expected: "X-Footer: added\n\nHello\n\nMandated text\n",
  },
  {
    name: "no Content-Type, footer beyond ASCII: becomes UTF-8 with a full MIME header",
    options: EURO,
    mail: "\nHello = you\n",
    expected: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n" +
      "MIME-Version: 1.0\nX-Footer: added\n\nHello =3D you\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "us-ascii, 7bit: charset and encoding change, other parameters and folds stay",
    options: EURO,
    mail: 'MIME-Version: 1.0\nContent-Type: text/plain;\n\tcharset="US-ASCII"; x=y\n' +
      "Content-Transfer-Encoding: 7bit\n\nHello\n",
    expected: "MIME-Version: 1.0\nContent-Type: text/plain;\n\tcharset=utf-8; x=y\n" +
      "Content-Transfer-Encoding: quoted-printable\nX-Footer: added\n\nHello\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "iso-8859-1, 8bit, with a euro: becomes UTF-8, stays 8bit",
    options: EURO,
    mail:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\ncaf\xe9\n",
    expected:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\ncaf\xc3\xa9\n\nFee: 5 \xe2\x82\xac\n",
  },
  {
    name: "iso-8859-1 that is windows-1252 in truth keeps its quotes",
    options: EURO,
    mail: "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\n" +
      "Content-Transfer-Encoding: quoted-printable\n\n=93a=94\n",
    expected: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" +
      "Content-Transfer-Encoding: quoted-printable\nX-Footer: added\n\n=E2=80=9Ca=E2=80=9D\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "iso-8859-15 has the euro: one byte, no other change",
    options: EURO,
    mail: "Content-Type: text/plain; charset=ISO-8859-15\nContent-Transfer-Encoding: 8bit\n\ncaf\xe9\n",
    expected: "Content-Type: text/plain; charset=ISO-8859-15\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\ncaf\xe9\n\nFee: 5 \xa4\n",
  },
  {
    name: "iso-8859-15 in a 7bit part: the charset carries the footer, the encoding does not",
    options: EURO,
    mail: "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-15\n\nx=1\n",
    expected: "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-15\n" +
      "Content-Transfer-Encoding: quoted-printable\nX-Footer: added\n\nx=3D1\n\nFee: 5 =A4\n",
  },
  {
    name: "quoted-printable: the text before keeps its encoded bytes",
    options: EURO,
    mail: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: Quoted-Printable\n\n" +
      "=41bc=\nd=3d=e9\n",
    expected: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: Quoted-Printable\n" +
      "X-Footer: added\n\n=41bc=\nd=3d=e9\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "quoted-printable that ends with a soft line break",
    mail: "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nHello=",
    expected: "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n" +
      "X-Footer: added\n\nHello=\n\n\nMandated text\n",
  },
  {
    name: "base64 is written anew, in lines of 76",
    options: EURO,
    mail: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" +
      "SGVsbG8sIHRoaXMgaXMgYSBsaW5lIG9mIHRleHQNCmFuZCBhbm90aGVyIG9uZQ0K\n",
    expected: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n" +
      "X-Footer: added\n\nSGVsbG8sIHRoaXMgaXMgYSBsaW5lIG9mIHRleHQNCmFuZCBhbm90aGVyIG9uZQ0KDQpGZWU6IDUg\n4oKsDQo=\n",
  },
  {
    name: "base64 with bare LF keeps to that",
    mail: "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8K\n",
    expected: "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n" +
      "X-Footer: added\n\naGVsbG8KCk1hbmRhdGVkIHRleHQK\n",
  },
  {
    name: "gb2312: written in it where all its readers have the characters",
    options: { text: "\u4e2d\u6587" },
    mail: "Content-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: 8bit\n\n\xce\xc4\n",
    expected: "Content-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xce\xc4\n\n\xd6\xd0\xce\xc4\n",
  },
  {
    name: "gb2312 has no euro, whatever Windows thinks",
    options: EURO,
    mail:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: 8bit\n\n\xce\xc4\n",
    expected:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xe6\x96\x87\n\nFee: 5 \xe2\x82\xac\n",
  },
  {
    name: "iso-2022-jp takes ASCII as it is",
    mail: "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|\x1b(B\n",
    expected:
      "Content-Type: text/plain; charset=iso-2022-jp\nX-Footer: added\n\n\x1b$BF|\x1b(B\n\nMandated text\n",
  },
  {
    name: "iso-2022-jp with more than ASCII becomes UTF-8",
    options: EURO,
    mail: "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|\x1b(B\n",
    expected: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" +
      "Content-Transfer-Encoding: quoted-printable\nX-Footer: added\n\n=E6=97=A5\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "iso-2022-jp that ends within Japanese is left alone",
    mail: "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|\n",
    expected: "Content-Type: text/plain; charset=iso-2022-jp\n" +
      "X-Footer: skipped (text ends within a character set switch)\n\n\x1b$BF|\n",
  },
  {
    name: "undeclared UTF-8 is declared",
    options: EURO,
    mail: "\ncaf\xc3\xa9\n",
    expected: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n" +
      "MIME-Version: 1.0\nX-Footer: added\n\ncaf=C3=A9\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "undeclared 8-bit text that is not UTF-8",
    options: EURO,
    mail: "\ncaf\xe9\n",
    expected: "X-Footer: skipped (8-bit text without a charset)\n\ncaf\xe9\n",
  },
  {
    name: "bytes that are not of the charset",
    options: EURO,
    mail: "Content-Type: text/plain; charset=euc-kr\nContent-Transfer-Encoding: 8bit\n\n\xff\n",
    expected: "Content-Type: text/plain; charset=euc-kr\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: skipped (text is not valid in its charset)\n\n\xff\n",
  },
  {
    name: "format=flowed: the open paragraph is closed, lines are stuffed and lose blanks at their ends",
    options: { text: "-- \n> not a quotation  \n indented\nFrom us" },
    mail: "Content-Type: text/plain; format=flowed\n\nHello \n",
    expected: "Content-Type: text/plain; format=flowed\nX-Footer: added\n\n" +
      "Hello \n\n\n-- \n > not a quotation\n  indented\n From us\n",
  },
  {
    name: "format=flowed: a closed paragraph needs one blank line, a signature separator is closed",
    mail: "Content-Type: text/plain; FORMAT=Flowed\n\nHello \nyou\n-- \n",
    expected:
      "Content-Type: text/plain; FORMAT=Flowed\nX-Footer: added\n\nHello \nyou\n-- \n\nMandated text\n",
  },
  {
    name: "html: before the last end tag of the body, in any case",
    mail: "Content-Type: text/html; charset=utf-8\n\n<HTML><Body>&lt;/body>Hello</BoDY ></HTML>\n",
    expected: "Content-Type: text/html; charset=utf-8\nX-Footer: added\n\n" +
      "<HTML><Body>&lt;/body>Hello\n<p>Mandated text</p>\n</BoDY ></HTML>\n",
  },
  {
    name: "html without that tag: at the end; what means something in HTML is escaped",
    options: { text: 'a <b> & "c"\nd' },
    mail: "Content-Type: TEXT/HTML\n\n<b>Hello</b>\n",
    expected: "Content-Type: TEXT/HTML\nX-Footer: added\n\n" +
      "<b>Hello</b>\n<p>a &lt;b&gt; &amp; &quot;c&quot;<br>\nd</p>\n",
  },
  {
    name: "html of its own; characters that the charset lacks are references",
    options: { text: "x", html: "<hr>\n<i>5 \u20ac caf\u00e9</i>" },
    mail: "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n\xe9</body>\n",
    expected: "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xe9\n<hr>\n<i>5 &#8364; caf&#233;</i>\n</body>\n",
  },
  {
    name: "html in the charset where it can be",
    options: { text: "x", html: "<i>caf\u00e9</i>" },
    mail: "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n\xe9\n</body>\n",
    expected: "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xe9\n<i>caf\xe9</i>\n</body>\n",
  },
  {
    name: "html in quoted-printable: the tag may be cut by a soft line break",
    options: EURO,
    mail: "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
      "<body>Hello =3D<=\n/bo=\ndy></html>\n",
    expected: "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n" +
      "X-Footer: added\n\n<body>Hello =3D\n<p>Fee: 5 =E2=82=AC</p>\n<=\n/bo=\ndy></html>\n",
  },
  {
    name: "html in base64",
    mail: "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\nPGI+SGk8L2I+PC9ib2R5Pg==\n",
    expected: "Content-Type: text/html\nContent-Transfer-Encoding: base64\nX-Footer: added\n\n" +
      "PGI+SGk8L2I+DQo8cD5NYW5kYXRlZCB0ZXh0PC9wPg0KPC9ib2R5Pg==\n",
  },
  {
    name: "alternatives each get it; preamble, epilogue and the rest stay",
    options: EURO,
    mail:
      'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="=_b"\n\npreamble\n--=_b  \n\nHello\n--=_b\n' +
      "Content-type : text/html;\n charset=us-ascii (comment; charset=x)\nX-Other: 1\n\n<p>Hello</p>\n--=_b\n" +
      "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n--=_b-- \nepilogue",
    expected: 'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="=_b"\nX-Footer: added\n\n' +
      "preamble\n--=_b  \nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
      "Hello\n\nFee: 5 =E2=82=AC\n--=_b\n" +
      "Content-type : text/html;\n charset=us-ascii (comment; charset=x)\nX-Other: 1\n\n<p>Hello</p>\n<p>Fee: 5 &#8364;</p>\n--=_b\n" +
      "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n--=_b-- \nepilogue",
  },
  {
    name: "the header of a part is changed in place",
    options: EURO,
    mail: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding:7bit\nX-A: 1\n" +
      "Content-Type:text/plain;charset=us-ascii;x=y\nX-B: 2\n\nHello\n--b--\n",
    expected: "Content-Type: multipart/mixed; boundary=b\nX-Footer: added\n\n" +
      "--b\nContent-Transfer-Encoding: quoted-printable\nX-A: 1\n" +
      "Content-Type: text/plain;charset=utf-8;x=y\nX-B: 2\n\nHello\n\nFee: 5 =E2=82=AC\n--b--\n",
  },
  {
    name: "attachments, named texts, attached messages and a second text stay; the text within does not",
    mail: "Content-Type: multipart/mixed; boundary=a\n\n" +
      "--a\nContent-Type: text/plain\nContent-Disposition: attachment\n\nattached\n" +
      "--a\nContent-Type: text/plain; name=log.txt\n\nnamed\n" +
      "--a\nContent-Type: text/plain\nContent-Disposition: inline; filename*0*=utf-8''x\n\nnamed too\n" +
      "--a\nContent-Type: message/rfc822\n\nSubject: inner\n\nforwarded\n" +
      "--a\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<img src=cid:x>\n" +
      "--r\nContent-Type: text/html\n\nnot the root\n--r--\n\n" +
      "--a\nContent-Type: text/plain\n\nsecond text\n--a--\n",
    expected: "Content-Type: multipart/mixed; boundary=a\nX-Footer: added\n\n" +
      "--a\nContent-Type: text/plain\nContent-Disposition: attachment\n\nattached\n" +
      "--a\nContent-Type: text/plain; name=log.txt\n\nnamed\n" +
      "--a\nContent-Type: text/plain\nContent-Disposition: inline; filename*0*=utf-8''x\n\nnamed too\n" +
      "--a\nContent-Type: message/rfc822\n\nSubject: inner\n\nforwarded\n" +
      "--a\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<img src=cid:x>\n<p>Mandated text</p>\n" +
      "--r\nContent-Type: text/html\n\nnot the root\n--r--\n\n" +
      "--a\nContent-Type: text/plain\n\nsecond text\n--a--\n",
  },
  {
    name: "multipart/related with a named root",
    mail: 'Content-Type: multipart/related; boundary=r; start="<2@x>"\n\n--r\nContent-ID: <1@x>\n\none\n' +
      "--r\nContent-ID: <2@x>\n\ntwo\n--r--\n",
    expected: 'Content-Type: multipart/related; boundary=r; start="<2@x>"\nX-Footer: added\n\n--r\n' +
      "Content-ID: <1@x>\n\none\n--r\nContent-ID: <2@x>\n\ntwo\n\nMandated text\n--r--\n",
  },
  {
    name: "a part that cannot take it is named, the others get it",
    mail:
      "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=klingon\n\nHello\n" +
      "--b\nContent-Type: text/html\n\n<p>Hello</p>\n--b--\n",
    expected:
      "Content-Type: multipart/alternative; boundary=b\nX-Footer: added (skipped part 1: unknown charset)\n\n" +
      "--b\nContent-Type: text/plain; charset=klingon\n\nHello\n" +
      "--b\nContent-Type: text/html\n\n<p>Hello</p>\n<p>Mandated text</p>\n--b--\n",
  },
  {
    name: "a part without a line end before the boundary keeps that",
    mail: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n\n--b--",
    expected: "Content-Type: multipart/mixed; boundary=b\nX-Footer: added\n\n--b\n\nMandated text\n--b--",
  },
  {
    name: "a quotation that has the text does not count as having it",
    mail: "\nYes.\n> Mandated text\n> > Mandated text\n",
    expected: "X-Footer: added\n\nYes.\n> Mandated text\n> > Mandated text\n\nMandated text\n",
  },
  {
    name: "nor does a quotation in HTML",
    mail: "Content-Type: text/html\n\n<blockquote><p>Mandated text</p></blockquote>Yes.\n",
    expected: "Content-Type: text/html\nX-Footer: added\n\n" +
      "<blockquote><p>Mandated text</p></blockquote>Yes.\n<p>Mandated text</p>\n",
  },
  {
    name: "the same text is not added again",
    mail: "\nHello\n\nMandated text\n\nanother footer\n",
    expected: "X-Footer: present\n\nHello\n\nMandated text\n\nanother footer\n",
  },
  {
    name: "once: false adds it again",
    options: { ...ASCII, once: false },
    mail: "\nHello\n\nMandated text\n",
    expected: "X-Footer: added\n\nHello\n\nMandated text\n\nMandated text\n",
  },
  {
    name: "long lines are broken at blanks, long words are not",
    options: { text: `${"word ".repeat(20)}https://example.org/${"x".repeat(80)} end` },
    mail: "\nHello\n",
    expected: `X-Footer: added\n\nHello\n\n${"word ".repeat(14)}word\n${"word ".repeat(4)}word\n` +
      `https://example.org/${"x".repeat(80)}\nend\n`,
  },
];

for (const { name, options, mail, expected } of CASES) {
  Deno.test(`footer: ${name}`, async () => {
    assert.equal(await runText(options ?? ASCII, `Subject: x\n${mail}`), `Subject: x\n${expected}`);
  });
}

Deno.test("footer: a line of the footer that a boundary was made of", async () => {
  const mail = "Content-Type: multipart/mixed; boundary=----\n\n------\n\nx\n--------\n";
  const out = await runText({ text: "------------\nMandated text" }, mail);
  assert.equal(out, mail.replace("\n\n", "\nX-Footer: skipped (part 1: a line starts like a boundary)\n\n"));
});

Deno.test("footer: dkim: modify adds to mail with a DKIM signature", async () => {
  const mail = "DKIM-Signature: v=1; b=x\n\nHello\n";
  const out = await runText({ ...ASCII, dkim: "modify" }, mail);
  assert.equal(out, "DKIM-Signature: v=1; b=x\nX-Footer: added\n\nHello\n\nMandated text\n");
});

Deno.test("footer: only: other senders' mail is not touched, not even its header", async () => {
  const options = { ...ASCII, only: ["Example.org", ".sub.example.net"] };
  const mail = "Subject: x\n\nHello\n";
  const senders = {
    "a@EXAMPLE.ORG": true,
    "a@x.sub.example.net": true,
    "a@sub.example.net": false,
    "a@notexample.org": false,
    "a@x.example.org": false,
    "": false,
  };
  for (const [sender, touched] of Object.entries(senders)) {
    const out = await runText(options, mail, sender);
    assert.equal(out, touched ? "Subject: x\nX-Footer: added\n\nHello\n\nMandated text\n" : mail, sender);
  }
});

Deno.test("footer: its header field replaces what the sender wrote there", async () => {
  const out = await runText(ASCII, "x-footer: added\nSubject: x\nX-Footer: skipped (signed)\n\nHello\n");
  assert.equal(out, "x-footer: added\nSubject: x\n\nHello\n\nMandated text\n");
});

Deno.test("footer: a sender's many fields of that name do not use up the edits", async () => {
  const out = await runText(ASCII, `${"X-Footer: no\n".repeat(2000)}\nHello\n`);
  assert.match(out, /^X-Footer: added\n/);
});

Deno.test("footer: a header value that no frame can carry, or no MTA would take, is left alone", async () => {
  for (const value of [`text/plain; x=${"y".repeat(9000)}`, "text/plain; x=a\rb"]) {
    const mail = `Content-Type: ${value}\n\nHello\n`;
    const expected = mail.replace(
      "\n\n",
      "\nX-Footer: skipped (malformed MIME: Content-Type not understood)\n\n",
    );
    assert.equal(await runText(EURO, mail), expected);
  }
});

Deno.test("footer: the name of the header field can be chosen, or none", async () => {
  assert.equal(
    await runText({ ...ASCII, header: "X-Note" }, "A: 1\n\nx\n"),
    "A: 1\nX-Note: added\n\nx\n\nMandated text\n",
  );
  assert.equal(await runText({ ...ASCII, header: false }, "A: 1\n\nx\n"), "A: 1\n\nx\n\nMandated text\n");
});

Deno.test("footer: a second run changes nothing", async () => {
  for (const { mail, expected, options } of CASES) {
    if (!expected.includes("X-Footer: added\n") || options?.once === false) continue;
    const once = await runText(options ?? EURO, `Subject: x\n${mail}`);
    assert.equal(await runText(options ?? EURO, once), once);
  }
});
