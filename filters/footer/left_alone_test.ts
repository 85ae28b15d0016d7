// Mails that the footer filter leaves as they are, and the reason that it gives. One character a byte, LF for CRLF.
import assert from "node:assert/strict";
import { ASCII, runText } from "./run_mail_test.ts";

const PGP = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n-----BEGIN PGP SIGNATURE-----\n";
const DEEP = Array.from(
  { length: 21 },
  (_, level) => `Content-Type: multipart/mixed; boundary=b${level}x\n\n--b${level}x\n`,
);

// Mails that stay as they are, with the reason that the header field gives.
const LEFT_ALONE: readonly (readonly [reason: string, mail: string])[] = [
  [
    "signed",
    "Content-Type: multipart/signed; boundary=b; micalg=sha256\n\n--b\n\nHello\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n",
  ],
  ["signed", "Content-Type: multipart/signed; boundary=b\n\nno parts"],
  [
    "signed",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\nHello\n--c--\n--b--\n",
  ],
  ["signed", "Content-Type: application/pkcs7-mime; smime-type=Signed-Data; name=smime.p7m\n\nMIIB\n"],
  ["encrypted", "Content-Type: Application/X-PKCS7-MIME\n\nMIIB\n"],
  ["encrypted", "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nx\n--b--\n"],
  [
    "encrypted",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext of a gateway\n--b\nContent-Type: application/octet-stream; name=smime.p7m\n\nx\n--b--\n",
  ],
  ["encrypted", "Content-Type: application/pgp\n\nx\n"],
  ["inline PGP", `\n${PGP}`],
  [
    "inline PGP",
    `Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>Hello</p>\n--b\n\n${PGP}--b--\n`,
  ],
  ["inline PGP", "Content-Type: text/html\n\n<pre>-----BEGIN PGP MESSAGE-----\n"],
  ["DomainKey-Signature", "DomainKey-Signature: a=rsa-sha1\n\nHello\n"],
  ["encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1\n"],
  [
    "no text part",
    "Content-Type: multipart/appledouble; boundary=b\n\n--b\nContent-Type: application/applefile\n\nx\n--b\n\nx\n--b--\n",
  ],
  [
    "malformed MIME: missing end boundary",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b--\n--b--\n",
  ],
  [
    "malformed MIME: multipart without a boundary",
    `Content-Type: multipart/mixed; boundary=${"b".repeat(201)}\n\n--${"b".repeat(201)}\n\nx\n--${
      "b".repeat(201)
    }--\n`,
  ],
  ["DKIM-Signature", "DKIM-Signature: v=1; b=x\n\nHello\n"],
  ["ARC-Message-Signature", "ARC-Message-Signature: i=1; b=x\n\nHello\n"],
  [
    "report",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nnot delivered\n--b--\n",
  ],
  ["no text part", "Content-Type: image/png\n\nx\n"],
  ["no text part", "Content-Type: text/plain\nContent-Disposition: attachment; filename=x\n\nx\n"],
  ["no text part", "Content-Type: text/plain\nContent-Disposition: ;;\n\nx\n"],
  ["no text part", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nx\n--b--\n"],
  ["no text part", "Content-Type: message/partial; id=x; number=1\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset=klingon\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset=utf-7\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset=u.t.f-16\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset=base64\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset*=utf-8''utf-8\n\nx\n"],
  ["unknown charset", "Content-Type: text/plain; charset=__proto__\n\nx\n"],
  ["unknown transfer encoding", "Content-Transfer-Encoding: x-uuencode\n\nx\n"],
  ["malformed base64", "Content-Transfer-Encoding: base64\n\naGVsbG8=\nfooter of a list\n"],
  ["malformed MIME: Content-Type not understood", "Content-Type: text\n\nx\n"],
  ["malformed MIME: Content-Type not understood", "Content-Type: text/plain; charset=a; charset=b\n\nx\n"],
  ["malformed MIME: several content-type fields", "Content-Type: text/plain\nContent-type: text/html\n\nx\n"],
  ["malformed MIME: missing end boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n"],
  [
    "malformed MIME: missing end boundary",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b--\n",
  ],
  [
    "malformed MIME: missing end boundary",
    "Content-Type: multipart/mixed; boundary=b\n\nno boundary at all\n",
  ],
  ["malformed MIME: multipart without parts", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n"],
  ["malformed MIME: multipart without a boundary", "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n"],
  [
    "malformed MIME: multipart without a boundary",
    'Content-Type: multipart/mixed; boundary=""\n\n--\n\nx\n----\n',
  ],
  [
    "malformed MIME: one boundary for two multiparts",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b--\n\n--b--\n",
  ],
  [
    "malformed MIME: encoded multipart",
    "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\nx\n--b--\n",
  ],
  ["malformed MIME: nested too deep", DEEP.join("")],
  [
    "malformed MIME: too many parts",
    `Content-Type: multipart/mixed; boundary=b\n\n${"--b\n\nx\n".repeat(1001)}--b--\n`,
  ],
  [
    "malformed MIME: too long part header",
    `Content-Type: multipart/mixed; boundary=b\n\n--b\n${"X-Y: z\n".repeat(10_000)}\nx\n--b--\n`,
  ],
  [
    "part 1: part without an empty line",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b--\n",
  ],
  [
    "part 1: a line starts like a boundary",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--because\n--b--\n",
  ],
];

LEFT_ALONE.forEach(([reason, mail], index) => {
  Deno.test(`footer: left alone (${reason}), mail ${index + 1}`, async () => {
    const [head = "", ...rest] = `Subject: x\n${mail}`.split("\n\n");
    const expected = [`${head}\nX-Footer: skipped (${reason})`, ...rest].join("\n\n");
    assert.equal(await runText(ASCII, `Subject: x\n${mail}`), expected);
  });
});
