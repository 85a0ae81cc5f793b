"""200 planted secrets and personal details, 200 things that only look like some, in sentences as engineers write them.

Made from a seed when asked for, so that no file holds anything that a scanner for leaked keys would report. Phone
numbers are from the ranges that regulators keep free for fiction; the IBANs' check digits are computed here.
"""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

KINDS = ("EMAIL", "PHONE", "IBAN", "API_KEY", "PRIVATE_KEY", "ADDRESS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A passage, and the one thing in it that must go: `secret` of this kind, or nothing (None)."""

    text: str
    kind: str | None = None
    secret: str = ""
    form: str = ""


def planted(seed: int = 4) -> list[Planted]:
    """The 200, in this order: 40 mails, 40 phones, 30 IBANs, 40 keys, 15 private keys, 35 addresses."""
    rng = Random(seed)
    made = [
        *_in_sentences(rng, "EMAIL", MAIL_SENTENCES, [_mail(rng) for _ in range(40)]),
        *_in_sentences(rng, "PHONE", PHONE_SENTENCES, [_phone(rng, n) for n in range(40)]),
        *_in_sentences(rng, "IBAN", IBAN_SENTENCES, [_iban(rng, n) for n in range(30)]),
        *_in_sentences(rng, "API_KEY", KEY_SENTENCES, [make(rng) for make in PROVIDERS for _ in range(8)]),
        *_in_sentences(rng, "PRIVATE_KEY", PEM_SENTENCES, [_private_key(rng, n) for n in range(15)]),
        *_in_sentences(rng, "ADDRESS", ADDRESS_SENTENCES, [_address(rng, n) for n in range(35)]),
    ]
    assert len(made) == 200
    return made


def look_alikes(seed: int = 4) -> list[Planted]:
    """200 passages in which there is nothing to redact."""
    rng = Random(seed)
    return [Planted(text=rng.choice(LOOK_ALIKES)(rng)) for _ in range(200)]


def _in_sentences(rng: Random, kind: str, sentences: tuple[str, ...], found: list[str]) -> list[Planted]:
    made = []
    for secret in found:
        sentence = rng.choice(sentences)
        shown = json.dumps(secret)[1:-1] if '"private_key"' in sentence else secret
        made.append(Planted(text=sentence.replace("%", shown), kind=kind, secret=shown, form=sentence))
    return made


def _some(rng: Random, alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
WORDS = string.ascii_letters + string.digits
URL = WORDS + "-_"

# Mail

MAIL_SENTENCES = (
    "Write to % if the tide table is wrong.",
    "The patch came from <%>, two days late.",
    "    git config user.email %",
    "Author: somebody <%>\nDate:   Mon Mar 3 10:02:11 2025",
    "Questions? (%)",
    "See [the list](mailto:%) for more.",
    'ADMINS = ["%"]',
    "| contact | % |",
    "CC: %, and the whole yard.",
    "Mail me at %.",
)


def _mail(rng: Random) -> str:
    local = rng.choice(
        ["harbour.office", "j.k", "list+rust", "o_tar", "bilge-pump", "x9", "the.second.mate", "łódź", "INFO"]
    )
    domain = rng.choice(
        [
            "rigging-loft.org",
            "mail.saltworks.co.uk",
            "tidewater.io",
            "krähenest.de",
            "UNI-KIEL-YARD.EDU",
            "sub.dept.quay.gov.au",
        ]
    )
    return f"{local}{rng.randrange(100) or ''}@{domain}"


# Phones

PHONE_SENTENCES = (
    "Call % before nine.",
    "Tel. %",
    "My number is still the old one, phone: %, ask for the yard.",
    "Reach the harbour office on % (weekdays).",
    "WhatsApp % works best.",
    "* mobile: %\n* office: closed",
)


def _phone(rng: Random, number: int) -> str:
    two, three = _some(rng, string.digits, 2), _some(rng, string.digits, 3)
    area = rng.choice(["212", "415", "617", "312"])
    return [
        f"+1 {area}-555-01{two}", f"({area}) 555-01{two}", f"{area}-555-01{two}", f"+1 ({area}) 555 01{two}",
        f"{area}.555.01{two}", f"+44 20 7946 0{three}", f"020 7946 0{three}", f"07700 900{three}", f"+447700900{three}",
        f"+49 30 23125 {three}", f"030 23125 {three}", f"0049 30 23125 {three}", f"+49 (0)30 23125{three}",
        f"01 99 00 {two} {two}", f"+33 1 99 00 {two} {two}", f"+61 2 5550 1{three}", f"+48 22 555 {two} {two}",
        f"+48 600 100 {three}", f"+34 912 345 {three}", f"+31 20 555 0{three}",
    ][number % 20]  # fmt: skip


# IBANs

IBAN_SENTENCES = (
    "Please pay to % within a fortnight.",
    "IBAN: %",
    "The deposit goes to % (the yard's account).",
    "iban = '%'",
    "Account % BIC MARKDEF1100",
)
_BANKS = {
    "DE": "9" * 18,
    "GB": "AAAA" + "9" * 14,
    "FR": "9" * 23,
    "NL": "AAAA" + "9" * 10,
    "PL": "9" * 24,
    "ES": "9" * 20,
    "CH": "9" * 17,
    "AT": "9" * 16,
}


def _iban(rng: Random, number: int) -> str:
    """Check digits by ISO 7064; France, Spain and Poland have further digits of their own, tried until they fit."""
    from stdnum import iban

    country, shape = list(_BANKS.items())[number % len(_BANKS)]
    while True:
        account = "".join(rng.choice(string.ascii_uppercase if c == "A" else string.digits) for c in shape)
        plain = "".join(str(int(character, 36)) for character in account + country + "00")
        whole = f"{country}{98 - int(plain) % 97:02d}{account}"
        if iban.is_valid(whole):
            break
    return whole if number % 3 == 0 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


# Keys of five providers

KEY_SENTENCES = (
    "export API_KEY=%",
    "I had committed % by accident, and rotated it at once.",
    'client = Client(api_key="%")',
    "token: %",
    "curl -H 'Authorization: Bearer %' https://api.saltworks.io/v1/tides",
    "`%`",
    "https://api.saltworks.io/?key=%&format=json",
)
PROVIDERS: tuple[Callable[[Random], str], ...] = (
    lambda rng: rng.choice(["AKIA", "ASIA"]) + _some(rng, string.ascii_uppercase + "234567", 16),
    lambda rng: (
        rng.choice(["ghp_", "gho_", "ghs_"]) + _some(rng, WORDS, 36)
        if rng.random() < 0.6
        else f"github_pat_{_some(rng, WORDS, 22)}_{_some(rng, WORDS, 59)}"
    ),
    lambda rng: f"{rng.choice(['sk', 'rk'])}_live_{_some(rng, WORDS, rng.choice([24, 99]))}",
    lambda rng: (
        f"xox{rng.choice('bp')}-{_some(rng, string.digits, 12)}-{_some(rng, string.digits, 12)}-{_some(rng, WORDS, 24)}"
    ),
    lambda rng: (
        f"sk-proj-{_some(rng, URL, 74)}T3BlbkFJ{_some(rng, WORDS, 20)}"
        if rng.random() < 0.5
        else f"sk-{_some(rng, WORDS, 20)}T3BlbkFJ{_some(rng, WORDS, 20)}"
    ),
)

# Private keys

PEM_SENTENCES = (
    "This was in the repository:\n\n%\n\nDo not do that.",
    "```\n$ cat id_rsa\n%\n```",
    '{"type": "service_account", "private_key": "%", "client_id": "1"}',
    "KEY = '''%'''",
)


def _private_key(rng: Random, number: int) -> str:
    what = [
        "RSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
        "ENCRYPTED PRIVATE KEY",
    ][number % 6]
    body = base64.b64encode(rng.randbytes(rng.choice([120, 600, 1200]))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    head = ["Version: GnuPG v2", ""] if "PGP" in what else []
    head = ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0123456789ABCDEF", ""] if number == 6 else head
    return "\n".join([f"-----BEGIN {what}-----", *head, *lines, f"-----END {what}-----"])


# Addresses

ADDRESS_SENTENCES = (
    "We moved to % last spring.",
    "Send the sails to %.",
    "Address: %",
    "The shop is at %; ring twice.",
    "The meeting was held in the back room of %\nand lasted until ten.",
)


def _address(rng: Random, number: int) -> str:
    n = rng.randrange(1, 400)
    street = rng.choice(["Mill", "Anchor", "Old Harbour", "Chandler's", "Lower Quay", "Saltmarsh"])
    return [
        f"{n} {street} Street", f"{n} {street} St., Apt 4B, Portland, OR 97{_some(rng, '0123456789', 3)}",
        f"{n} {street} Road, Bristol BS{rng.randrange(1, 9)} 4QD", f"Hafenstraße {n}, 20459 Hamburg", f"Am Alten Speicher-Platz {n}",
        f"{n} rue de la Jetée, 44000 Nantes", f"ul. Portowa {n}/7, 80-001 Gdańsk", f"{n} W {street} Ave",
        f"{n} {street} Drive, Tacoma, WA 98402", f"P.O. Box {n}", f"Calle Mayor {n}, 28013 Madrid",
        f"{n} North 5th Avenue", f"{n} {street} Lane, Suite 200", f"Lindenallee {n}", f"{n}b {street} Terrace",
        f"{n} {street} Close, Poole BH15 1AB", f"Via Garibaldi {n}, 16124 Genova",
    ][number % 17]  # fmt: skip


# What only looks like it

LOOK_ALIKES: tuple[Callable[[Random], str], ...] = (
    lambda rng: (
        f"Upgrade to {rng.randrange(20)}.{rng.randrange(99)}.{rng.randrange(9999)}-rc{rng.randrange(9)} before Friday."
    ),
    lambda rng: (
        f"npm install react@18.{rng.randrange(9)}.0 vue@3.{rng.randrange(9)}.{rng.randrange(9)} @types/node@20.1.1"
    ),
    lambda rng: f"Fixed in {_some(rng, HEX, 40)}, reverted in {_some(rng, HEX, 7)}.",
    lambda rng: f"sha256:{_some(rng, HEX, 64)}  tides-{rng.randrange(9)}.tar.gz",
    lambda rng: (
        f"ISBN 978-0-{rng.randrange(100, 999)}-{rng.randrange(10000, 99999)}-{rng.randrange(9)}, second edition"
    ),
    lambda rng: f"ISBN-10: 0-306-{rng.randrange(10000, 99999)}-2",
    lambda rng: (
        f"On 2024-0{rng.randrange(1, 9)}-{rng.randrange(10, 28)} 14:{rng.randrange(10, 59)}:01+02:00 it failed again."
    ),
    lambda rng: f"between {rng.randrange(10, 28)}/0{rng.randrange(1, 9)}/2023 and {rng.randrange(10, 28)}.11.2024",
    lambda rng: f"Write to {rng.choice(['me', 'ops', 'a.b'])}@example.{rng.choice(['com', 'org', 'net'])} in the form.",
    lambda rng: f"git clone git@github.com:somebody/tides-{rng.randrange(99)}.git",
    lambda rng: "@property\ndef depth(self):\n    return self._depth  # see icon@2x.png",
    lambda rng: (
        f"The id is {_some(rng, HEX, 8)}-{_some(rng, HEX, 4)}-4{_some(rng, HEX, 3)}-a{_some(rng, HEX, 3)}-{_some(rng, HEX, 12)}."
    ),
    lambda rng: (
        f"Listening on 10.{rng.randrange(255)}.{rng.randrange(255)}.{rng.randrange(255)}:54{rng.randrange(10, 99)}"
    ),
    lambda rng: (
        f"It took {rng.randrange(10**9, 10**10)} ns, or {rng.random() * 1000:.6f} ms, over {rng.randrange(10**6):,} rows."
    ),
    lambda rng: f"timestamp {rng.randrange(1_600_000_000, 1_700_000_000)} is UTC",
    lambda rng: 'api_key = os.environ["API_KEY"]  # never in the code',
    lambda rng: 'client = Client(api_key="your-api-key-goes-here-please")',
    lambda rng: "export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
    lambda rng: "postgresql://user:password@localhost/twin and redis://:$SECRET@cache",
    lambda rng: (
        "-----BEGIN CERTIFICATE-----\n" + base64.b64encode(rng.randbytes(96)).decode() + "\n-----END CERTIFICATE-----"
    ),
    lambda rng: "A file that begins with -----BEGIN RSA PRIVATE KEY----- must never be committed.",
    lambda rng: f"I replaced {rng.randrange(2, 9)} Hard Drive bays and went the long Way home.",
    lambda rng: f"In {rng.randrange(1990, 2024)} Every Road led to XML.",
    lambda rng: f"RFC {rng.randrange(1000, 9000)} Section {rng.randrange(9)}.{rng.randrange(9)} on Wall Street prices",
    lambda rng: f"const big = {rng.randrange(10**15, 10**16)}n; // 0x{_some(rng, HEX, 16)}",
    lambda rng: f"ISO DE{rng.randrange(10, 99)} ABCD 1234 is a part number",
    lambda rng: (
        f"Order 4{_some(rng, string.digits, 3)}-{_some(rng, string.digits, 4)}-{_some(rng, string.digits, 3)} shipped"
    ),
    lambda rng: f"pages {rng.randrange(100, 200)}-{rng.randrange(201, 400)}, figures 1-4, volume {rng.randrange(9)}(3)",
    lambda rng: f"Follow @tides@mastodon.social or see https://tides.io/@tides/{_some(rng, string.digits, 18)}",
    lambda rng: (
        f"arXiv:{rng.randrange(1900, 2500)}.{_some(rng, string.digits, 5)} and doi:10.1145/{_some(rng, string.digits, 7)}.{_some(rng, string.digits, 7)}"
    ),
    lambda rng: f"base64: {base64.b64encode(rng.randbytes(48)).decode()}",
    lambda rng: f"lat {rng.random() * 90:.6f}, lon {-rng.random() * 90:.6f}",
    lambda rng: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{_some(rng, WORDS, 43)} yard",
    lambda rng: f"call f({rng.randrange(100, 999)}, {rng.randrange(100, 999)}, {rng.randrange(1000, 9999)}) twice",
)
