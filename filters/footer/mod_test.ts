// What the footer filter makes of the structure of mails, and its options. Texts hold one character a byte, and LF for CRLF.
import assert from "node:assert/strict";
import { ASCII, type Case, EURO, runText, testCases } from "./run_mail_test.ts";

const CASES: readonly Case[] = [
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
    name: "an empty part: the boundary stays on a line of its own",
    mail: "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n--b\nContent-Type: text/html\n" +
      "Content-Transfer-Encoding: base64\n\n--b--\n",
    expected:
      "Content-Type: multipart/alternative; boundary=b\nX-Footer: added\n\n--b\n\nMandated text\n--b\n" +
      "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\nPHA+TWFuZGF0ZWQgdGV4dDwvcD4=\n--b--\n",
  },
  {
    name: "boundary with an escaped quote, comment with an escaped parenthesis, a semicolon at the end",
    options: EURO,
    mail:
      'Content-Type: multipart/mixed (a \\) b); boundary="a\\"b";\n\n--a"b\nContent-Type: text/plain;\n\nx\n--a"b--\n',
    expected: 'Content-Type: multipart/mixed (a \\) b); boundary="a\\"b";\nX-Footer: added\n\n--a"b\n' +
      "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
      'x\n\nFee: 5 =E2=82=AC\n--a"b--\n',
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

testCases(CASES);

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
