// What the footer filter makes of charsets, transfer encodings, flowed text and HTML. Texts hold one character a byte, and LF for CRLF.
import { type Case, EURO, testCases } from "./run_mail_test.ts";

/** 500 of U+00E9 in UTF-8: 1000 escapes, 25 on a line, which leaves room for the "=" that joins it to the next. */
const ACCENTS_QUOTED = "=C3=A9".repeat(500).replace(/.{75}(?!$)/g, "$&=\n");

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
    name: "iso-2022-jp that ends in its Latin set takes ASCII too",
    mail: "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|\x1b(J\n",
    expected:
      "Content-Type: text/plain; charset=iso-2022-jp\nX-Footer: added\n\n\x1b$BF|\x1b(J\n\nMandated text\n",
  },
  {
    name: "a label that only browsers know",
    options: { text: "\u65e5" },
    mail: "Content-Type: text/plain; charset=x-euc-jp\nContent-Transfer-Encoding: 8bit\n\n\xb4\xc1\n",
    expected: "Content-Type: text/plain; charset=x-euc-jp\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xb4\xc1\n\n\xc6\xfc\n",
  },
  {
    name: "a charset that can only be read takes ASCII",
    mail: "Content-Type: text/plain; charset=x-mac-cyrillic\n\nx\n",
    expected: "Content-Type: text/plain; charset=x-mac-cyrillic\nX-Footer: added\n\nx\n\nMandated text\n",
  },
  {
    name: "a double-byte charset that browsers do not know becomes UTF-8",
    options: { text: "\u4e2d" },
    mail:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=cp936\nContent-Transfer-Encoding: 8bit\n\n\xce\xc4\n",
    expected:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" +
      "X-Footer: added\n\n\xe6\x96\x87\n\n\xe4\xb8\xad\n",
  },
  {
    name: "8-bit lines that grow over what SMTP carries become quoted-printable",
    options: EURO,
    mail:
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n" +
      `${"\xe9".repeat(500)}\n`,
    expected: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" +
      "Content-Transfer-Encoding: quoted-printable\nX-Footer: added\n\n" +
      `${ACCENTS_QUOTED}\n\nFee: 5 =E2=82=AC\n`,
  },
  {
    name: "a byte order mark stays",
    options: EURO,
    mail: "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=EF=BB=BFx\n",
    expected: "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n" +
      "Content-Type: text/plain; charset=utf-8\nX-Footer: added\n\n=EF=BB=BFx\n\nFee: 5 =E2=82=AC\n",
  },
  {
    name: "html in UTF-8 that is 7bit stays so",
    options: EURO,
    mail: "Content-Type: text/html; charset=utf-8\n\nx\n",
    expected: "Content-Type: text/html; charset=utf-8\nX-Footer: added\n\nx\n<p>Fee: 5 &#8364;</p>\n",
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
];

testCases(CASES);
