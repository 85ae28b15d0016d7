/** Scenarios: the bundled filters on real mail. */
import footer from "../../filters/footer/mod.ts";
import rules from "../../filters/rules/mod.ts";
import type { Filter, Log } from "../../src/filter/mod.ts";
import {
  data,
  ehlo,
  expected,
  header,
  mail,
  own,
  rcpt,
  sample,
  say,
  type Scenario,
  textOf,
} from "./scenario.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

function footerWith(text: string): Filter {
  return footer({ options: { text }, log: silent, signal: new AbortController().signal });
}

function rulesWith(...list: readonly unknown[]): Filter {
  return rules({ options: { rules: list }, log: silent, signal: new AbortController().signal });
}

type Fields = readonly (readonly [string, string])[];

const mime = (type: string, encoding: string): Fields => [
  ["MIME-Version", "1.0"],
  ["Content-Type", type],
  ["Content-Transfer-Encoding", encoding],
];

/** A mail with these fields added to the usual ones, and the same mail as it must arrive. */
function footerScenario(
  name: string,
  text: string,
  sent: { readonly fields: Fields; readonly body: string },
  arrives: { readonly fields: Fields; readonly body: string },
): Scenario {
  return {
    name: `footer: ${name}`,
    filter: () => footerWith(text),
    steps: [ehlo, mail, rcpt, ...data(250, textOf([...sample.fields, ...sent.fields], sent.body))],
    delivered: [expected({
      fields: [["Received", own], ...sample.fields, ...arrives.fields],
      body: arrives.body,
    })],
  };
}

const alternative = 'multipart/alternative; boundary="b1"';
/** Two forms of a text, each in a charset and a transfer encoding of its own. */
function twoForms(plain: string, html: string): string {
  return `preamble
--b1
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

${plain}
--b1
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

${html}
--b1--
`;
}

/** A text in base64, for the few bytes that fit on one line. */
function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

const signed = 'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary="s1"';
const signedBody = `--s1
Content-Type: text/plain

signed text
--s1
Content-Type: application/pgp-signature

-----BEGIN PGP SIGNATURE-----
-----END PGP SIGNATURE-----
--s1--
`;

function subjectIs(subject: string): Fields {
  return header((fields) => fields.map(([name, value]) => [name, name === "Subject" ? subject : value]));
}

function withSubject(subject: string): string {
  return sample.message.replace("Subject: test\n", `Subject: ${subject}\n`);
}

export const bundledScenarios: readonly Scenario[] = [
  footerScenario(
    "a plain mail",
    "No liability.\nNone.",
    { fields: [], body: sample.body },
    { fields: [["X-Footer", "added"]], body: `${sample.body}\nNo liability.\nNone.\n` },
  ),
  footerScenario(
    "a plain mail in ISO-8859-1 stays in it",
    "Grüße",
    { fields: mime("text/plain; charset=iso-8859-1", "8bit"), body: "sch\xf6n\n" },
    {
      fields: [...mime("text/plain; charset=iso-8859-1", "8bit"), ["X-Footer", "added"]],
      body: "sch\xf6n\n\nGr\xfc\xdfe\n",
    },
  ),
  footerScenario(
    "a MIME mail in two forms, each in its own charset and encoding",
    "Grüße",
    { fields: mime(alternative, "7bit"), body: twoForms("sch=F6n", base64("<body>schön</body>")) },
    {
      fields: [...mime(alternative, "7bit"), ["X-Footer", "added"]],
      body: twoForms("sch=F6n\n\nGr=FC=DFe", base64("<body>schön\r\n<p>Grüße</p>\r\n</body>")),
    },
  ),
  footerScenario(
    "a signed mail is left alone",
    "No liability.",
    { fields: mime(signed, "7bit"), body: signedBody },
    { fields: [...mime(signed, "7bit"), ["X-Footer", "skipped (signed)"]], body: signedBody },
  ),
  {
    name: "rules: one recipient is refused, a field is added at the top, by sender and header",
    filter: () =>
      rulesWith(
        { when: { recipient: "spamtrap@lab.example" }, reject: { enhanced: "5.1.1", text: "no such user" } },
        {
          when: { sender_domain: "client.example", header: { Subject: "test" } },
          add_header: { name: "X-Rule", value: "matched", at: "top" },
        },
      ),
    steps: [
      ehlo,
      mail,
      rcpt,
      say("RCPT TO:<spamtrap@lab.example>", {
        postfix: "550 5.1.1 no such user",
        sendmail: "550 5.1.1 <spamtrap@lab.example>... no such user",
      }),
      ...data(),
    ],
    delivered: [expected({ fields: header((fields) => [["X-Rule", "matched"], ...fields]) })],
  },
  {
    name: "rules: one mail is refused for its header, one quarantined, one discarded, one passes",
    filter: () =>
      rulesWith(
        { when: { header: { Subject: "/^bad/" } }, reject: "bad subject" },
        { when: { header: { Subject: "odd*" } }, quarantine: "odd subject" },
        { when: { sender: "<>", header: { Subject: "gone" } }, discard: true },
      ),
    steps: [
      ehlo,
      ...[mail, rcpt, ...data("550 5.7.1 bad subject", withSubject("bad one"))],
      ...[mail, rcpt, ...data(250, withSubject("odd one"))],
      ...[say("MAIL FROM:<>"), rcpt, ...data(250, withSubject("gone"))],
      ...[mail, rcpt, ...data(250, withSubject("gone"))],
    ],
    quarantined: [expected({ fields: subjectIs("odd one") })],
    delivered: [expected({ fields: subjectIs("gone") })],
  },
];
