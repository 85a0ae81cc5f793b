"""Redaction: personal data and secrets of a text become typed placeholders (`<EMAIL>`, `<API_KEY>`, …).

Only what has a form that can be checked is taken: a phone number that its country's plan allows, an IBAN whose check
digits hold, a key in its issuer's format. Names of people stay (who is quoted is part of how an author writes; the
ethics report counts them), and so does what is an example by definition: mail at example.com, AWS's …EXAMPLE keys.
Where a library knows the forms it decides; the named rules of our own are below. What this found and missed on a
planted set: `benchmarks/redaction.py`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

VERSION = "1"
"""Goes into a dataset's manifest: other rules make other texts."""

_SPACE = " \u00a0\u202f"
_PHONE_REGIONS = ("US", "GB", "DE", "FR", "PL", "ES", "IT", "NL")
"""Whose national numbers are recognised beside a word such as `Tel`. With a leading + all countries are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """The text with placeholders, and how many of each kind were put in."""

    text: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to be replaced: `text[start:end]`."""

    kind: str
    start: int
    end: int


def redact(text: str, *, keep: Sequence[str] = ()) -> Redacted:
    """Replace personal data and secrets. `keep` are the author's public addresses and numbers, which stay.

    What stays is compared without case, spaces and punctuation. Again on its own result it changes nothing.
    """
    pieces, counts, at = [], Counter[str](), 0
    for finding in findings(text, keep=keep):
        pieces += [text[at : finding.start], f"<{finding.kind}>"]
        counts[finding.kind] += 1
        at = finding.end
    return Redacted(text="".join([*pieces, text[at:]]), counts=dict(sorted(counts.items())))


def findings(text: str, *, keep: Sequence[str] = ()) -> list[Finding]:
    """What `redact` would replace, in the order of the text, without overlaps: the first rule that claims a place has it."""
    stays = [plain for one in keep if (plain := _plain(one))]
    taken: list[Finding] = []
    for kind, rule in _RULES:
        for start, end in rule(text):
            free = all(end <= other.start or other.end <= start for other in taken)
            if free and not _stays(kind, _plain(text[start:end]), stays):
                taken.append(Finding(kind=kind, start=start, end=end))
    return sorted(taken, key=lambda finding: finding.start)


def _plain(value: str) -> str:
    return "".join(character for character in value.casefold() if character.isalnum())


def _stays(kind: str, found: str, stays: Iterable[str]) -> bool:
    # An address is written with and without its city, so either may hold the other.
    return any(found == one or (kind == "ADDRESS" and (found in one or one in found)) for one in stays)


Spans = Iterator[tuple[int, int]]

# Private keys ---------------------------------------------------------------------------------------------------------

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<what>[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?:[A-Za-z-]+: [^\n\\]*)?(?:\s|\\n|\\r))*"  # Proc-Type:, Version: ... and the line break, escaped in JSON
    r"(?:[A-Za-z0-9+/=]|\s|\\n|\\r){40,}"  # a key, whole or cut short; a mere mention of the header has none
    r"(?:-----END (?P=what)-----)?"
)
_PUTTY = re.compile(r"PuTTY-User-Key-File-\d:.*?Private-(?:MAC|Hash): ?[0-9a-f]{40,64}", re.DOTALL)


def _private_keys(text: str) -> Spans:
    if "PRIVATE KEY" in text:
        for match in _PRIVATE_KEY.finditer(text):
            start, end = match.span()
            yield start, start + len(text[start:end].rstrip())
    if "PuTTY-User-Key-File" in text:
        yield from (match.span() for match in _PUTTY.finditer(text))


# Keys and tokens ------------------------------------------------------------------------------------------------------

_OWN_FORMATS = (
    # What detect-secrets 1.5 does not know: formats that came after it, by their issuers' own prefixes.
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"hf_[A-Za-z]{34}",
    r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{20,}",
    r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"dop_v1_[a-f0-9]{64}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xai-[A-Za-z0-9]{60,}",
    r"gsk_[A-Za-z0-9]{40,}",
    # Formats that it knows, as they have become: longer, or with letters of either case.
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{20,}",
    r"eyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}",  # JWT; theirs is quadratic
    r"xapp-\d-[A-Z0-9]{9,}-\d{9,}-[a-f0-9]{40,}",
)
_OWN_KEYS = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_OWN_FORMATS)})(?![A-Za-z0-9])")
_BEARER = re.compile(
    r"\b[Aa]uthorization['\"]?\s{0,2}[:=]\s{0,2}['\"]?(?:Bearer|Token|Basic)\s+([A-Za-z0-9._~+/=-]{16,})"
)
_ASSIGNED = re.compile(
    r"(?i:\b[a-z0-9_.-]{0,40}?(?:api_?-?key|secret|token|passw(?:or)?d|access_?-?key)[a-z0-9_]{0,20}['\"\]]{0,2}"
    r"\s{0,3}(?:=>|:=|[:=])\s{0,3})(?P<quote>['\"])(?P<value>[A-Za-z0-9+/_=.~-]{16,200})(?P=quote)"
)
_ENTROPY, _HEX_ENTROPY = 3.6, 3.0
"""Bits per character from which an assigned value is taken for a random one. Words joined by dashes have about 3.3;
random hex of 32 digits has 3.4 to 3.9, which is why it is measured by itself."""
_SHORTEST = 16
"""Characters of the shortest key that an issuer gives out."""
_LITERALS: Mapping[str, tuple[str, ...]] = {
    # Plugins of detect-secrets whose formats name their issuer, and a literal without which none can match.
    "aws.AWSKeyDetector": ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws", "AWS"),
    "azure_storage_key.AzureStorageKeyDetector": ("AccountKey=",),
    "discord.DiscordBotTokenDetector": (".",),
    "github_token.GitHubTokenDetector": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "gitlab_token.GitLabTokenDetector": ("gl", "GR"),
    "mailchimp.MailchimpDetector": ("-us",),
    "npm.NpmDetector": ("_authToken",),
    "openai.OpenAIDetector": ("T3BlbkFJ",),
    "pypi_token.PypiTokenDetector": ("pypi-",),
    "sendgrid.SendGridDetector": ("SG.",),
    "slack.SlackDetector": ("xox", "hooks.slack.com"),
    "square_oauth.SquareOAuthDetector": ("sq0csp-",),
    "telegram_token.TelegramBotTokenDetector": (":",),
    "twilio.TwilioKeyDetector": ("AC", "SK"),
}


@cache
def _known_formats() -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    """The patterns of detect-secrets, without its scanner, which reads files line by line and forgets where it was."""
    from importlib import import_module

    found = []
    for name, literals in _LITERALS.items():
        module, plugin = name.split(".")
        patterns = getattr(import_module(f"detect_secrets.plugins.{module}"), plugin).denylist
        found += [(pattern, literals) for pattern in patterns]
    return found


def _keys(text: str) -> Spans:
    for pattern, literals in _known_formats():
        if any(literal in text for literal in literals):
            for match in pattern.finditer(text):
                # A group holds the secret where the pattern says what stands before it, else only the issuer's prefix.
                group = match.lastindex if match.lastindex and len(match[match.lastindex]) >= _SHORTEST else 0
                start, end = match.span(group)
                if _whole(text, start, end) and not _placeholder(text[start:end]):
                    yield start, end
    for match in _OWN_KEYS.finditer(text):
        if not _placeholder(match.group()):
            yield match.span()
    if "uthorization" in text:
        for match in _BEARER.finditer(text):
            if _random(match[1]) and not _placeholder(match[1]):
                yield match.span(1)
    if any(word in text.casefold() for word in ("key", "secret", "token", "passw")):
        for match in _ASSIGNED.finditer(text):
            if _random(match["value"]) and not _placeholder(match["value"]):
                yield match.span("value")


def _whole(text: str, start: int, end: int) -> bool:
    """Not a piece of a longer run of letters and digits, as a key in the middle of base64 would be."""
    return not (text[start - 1 : start].isalnum() if start else False) and not text[end : end + 1].isalnum()


_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|\bmy[-_]|your[-_]?|changeme|dummy|redacted|\.\.\.|x{6,}|1234567890123|abcdefghijk|^<.*>$|\*{3,}"
)


def _placeholder(value: str) -> bool:
    return len(set(value)) < 8 or _PLACEHOLDER.search(value) is not None


def _random(value: str) -> bool:
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    mixed = any(character.isdigit() for character in value) and any(character.isalpha() for character in value)
    hexadecimal = not value.strip("0123456789abcdefABCDEF")
    return mixed and bits >= (_HEX_ENTROPY if hexadecimal else _ENTROPY)


# Passwords in connection URLs -----------------------------------------------------------------------------------------

_URL_PASSWORD = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@'\"<>{}$]{0,64}:(?P<password>[^\s/@'\"<>{}$]{3,128})@[\w\[]"
)
_NO_PASSWORD = re.compile(r"(?i)passw|secret|token|^(?:pass|pwd|pw|user|postgres|[*x.]+)$")


def _url_passwords(text: str) -> Spans:
    if "://" in text and "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            password = match["password"]
            if not _NO_PASSWORD.search(password):
                yield match.span("password")


# Mail -----------------------------------------------------------------------------------------------------------------

_MAIL = re.compile(
    r"(?<![\w.%+@/-])[\w%+-][\w.%+-]{0,63}@(?P<domain>(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24})(?![\w@-])"
)
_SPOKEN_MAIL = re.compile(
    r"(?i)(?<![\w.])[a-z0-9][\w.+-]{0,63} ?[\[({] ?at ?[\])}] ?[a-z0-9-]{1,63}"
    r"(?: ?(?:\.|[\[({] ?dot ?[\])}]) ?[a-z0-9-]{2,63}){1,4}"
)
_RESERVED_DOMAINS = re.compile(
    r"(?i)(?:^|\.)(?:example(?:\.(?:com|org|net))?|noreply\.github\.com|test|invalid|localhost|local|internal|lan)$"
)
_FILE_ENDINGS = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "py", "js", "ts", "css", "html", "json", "md", "service", "timer"}
)
_ROBOTS = frozenset({"git", "hg", "svn"})
"""Logins that everybody has: git@github.com names a server."""


def _mails(text: str) -> Spans:
    if "@" in text:
        for match in _MAIL.finditer(text):
            local, domain = match.group().split("@", 1)
            robot = local in _ROBOTS or text[match.end() : match.end() + 2].strip("0123456789") == ":/"
            if not (robot or _RESERVED_DOMAINS.search(domain) or domain.rsplit(".", 1)[1].lower() in _FILE_ENDINGS):
                yield match.span()
    if any(closed in text.casefold() for closed in ("at]", "at)", "at}", "at ]", "at )", "at }")):
        for match in _SPOKEN_MAIL.finditer(text):
            if "example" not in match.group().casefold():
                yield match.span()


# Bank accounts and cards ----------------------------------------------------------------------------------------------

_IBAN = re.compile(
    rf"(?<![A-Za-z0-9])[A-Z]{{2}}\d{{2}}(?:[{_SPACE}]?[A-Z0-9]{{4}}){{2,7}}(?:[{_SPACE}]?[A-Z0-9]{{1,3}})?(?![A-Za-z0-9])"
)
_CARD = re.compile(r"(?<![\d.-])(?:[3-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5})(?![\d-])")


def _ibans(text: str) -> Spans:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        found, start = match.group(), match.start()
        # A word in capitals after it looks like one more group: the check digits say where the number ends.
        ends = [len(found), *(at for at in range(len(found) - 1, 14, -1) if found[at] in _SPACE)]
        for end in ends:
            if iban.is_valid(found[:end]):
                yield start, start + end
                break


def _cards(text: str) -> Spans:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        if luhn.is_valid(re.sub(r"\D", "", match.group())):
            yield match.span()


# Phones ---------------------------------------------------------------------------------------------------------------

_ABROAD = re.compile(r"(?<![\w.+/=-])(?:\+|00(?=[1-9]\d{0,2}[ -]))[\d(][\d ().\u00a0/-]{6,24}\d(?![\w])")
_NANP = re.compile(r"(?<![\w.+/=-])(?:1[ -])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}-)[2-9]\d{2}-\d{4}(?![\w-])")
_BRITISH = re.compile(
    r"(?<![\w.+/=-])\(?0(?:20\)? \d{4} \d{4}|1\d{2,3}\)? \d{3} ?\d{3,4}|7\d{3} \d{3} ?\d{3})(?![\w-])"
)
_NATIONAL = re.compile(r"(?<![\w.+=-])\(?\d[\d ().\u00a0/-]{6,18}\d(?![\w])")
_CUE = re.compile(
    r"(?i)(?:\b(?:tel|phones?|telephone|telefon\w*|tél\w*|call|calling|mobile|mobil|cell|handy|fax|sms|whatsapp|signal|"
    r"ring|reach|text|teléfono|numer|telefono)\b|☎|📞)[^\d\n]{0,25}$"
)


def _phones(text: str) -> Spans:
    for match in _ABROAD.finditer(text):
        certain = not _CUE.search(text, max(0, match.start() - 45), match.start())
        yield from _numbers(text, match.span(), (None,), certain=certain)
    for match in _NANP.finditer(text):
        yield from _numbers(text, match.span(), ("US",))
    for match in _BRITISH.finditer(text):
        yield from _numbers(text, match.span(), ("GB",))
    for match in _NATIONAL.finditer(text):
        if _CUE.search(text, max(0, match.start() - 45), match.start()):
            yield from _numbers(text, match.span(), _PHONE_REGIONS)


def _numbers(text: str, span: tuple[int, int], regions: Sequence[str | None], *, certain: bool = True) -> Spans:
    """The number in `span`, if it is one in one of the regions; if not `certain`, one of a possible length will do."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    start, end = span
    candidate = re.sub("^00", "+", text[start:end])
    shift = end - start - len(candidate)
    leniency = Leniency.VALID if certain else Leniency.POSSIBLE
    for region in regions:
        found = next(iter(PhoneNumberMatcher(candidate, region, leniency)), None)
        if found is not None:
            yield start + (found.start + shift if found.start else 0), start + found.end + shift
            return


# Street addresses -----------------------------------------------------------------------------------------------------

_CAP = r"[A-ZÀ-ÖØ-ÞŁŚŻŹĆ](?:[\w'’-]|\.(?=\w)){1,30}"
_TOWN = rf"{_CAP}(?: {_CAP}){{0,2}}"
_UK_CODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_STATE = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
_PLACE = rf"{_TOWN},? (?:(?:{_STATE})(?: \d{{5}}(?:-\d{{4}})?)?|{_UK_CODE})\b"
_UNIT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor)\.? ?\w{1,5}| ?#\d{1,5})"
_STREET = (
    r"(?:Street|St\.?|Avenue|Ave\.?|Road|Rd\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Terrace|Crescent|Parkway|Pkwy\.?|Mews)"
)
_STREET_OR_WORD = (
    r"(?:Drive|Dr\.?|Court|Ct\.?|Place|Pl\.?|Square|Way|Close|Gardens|Highway|Hwy\.?|Row|Hill|Broadway|Grove)"
)
_NUMBER = r"(?<![\w.,$€£#/:-])(?<!\bIn )(?<!\bin )(?<!\bBy )(?<!\bSince )(?<!\bsince )\d{1,5}[A-Za-z]?"
_NAMES = rf"(?:[NSEW]\.? |(?:North|South|East|West) )?(?:{_CAP}|\d{{1,3}}(?:st|nd|rd|th))(?: {_CAP}){{0,2}}"
_GERMAN_STREET = (
    r"[A-ZÄÖÜ][a-zäöüß-]{1,30}(?:straße|strasse|str\.|gasse|allee|platz|damm|ufer|weg)|"
    r"[A-ZÄÖÜ][\w-]{1,30}-(?:Straße|Allee|Platz|Weg)"
)
_GERMAN_TOWN = r"(?:,? (?:D-)?\d{5} [A-ZÄÖÜ][\w-]+)"
_FRENCH_STREET = (
    r"(?:rue|avenue|boulevard|place|impasse|allée|chemin|quai|cours) "
    r"(?:(?:de|du|des|la|le|les) |[ld]['’]){0,3}"
)
_ADDRESSES = tuple(
    # Each with literals without which it cannot match: looking for those first is ten times as fast.
    (re.compile(pattern), literals)
    for pattern, literals in (
        (
            rf"{_NUMBER} {_NAMES} {_STREET}(?![\w'’]){_UNIT}?(?:,? {_PLACE})?",
            ("St", "Ave", "Road", "Rd", "Boul", "Blvd", "Lane", "Ln", "Terrace", "Cresc", "Park", "Pkw", "Mews"),
        ),
        # `3 Hard Drive` and `5 Best Way` are no addresses unless a town follows.
        (
            rf"{_NUMBER} (?:{_NAMES} )?{_STREET_OR_WORD}(?![\w'’]){_UNIT}?,? {_PLACE}",
            (
                "Dr",
                "Court",
                "Ct",
                "Pl",
                "Square",
                "Way",
                "Close",
                "Gard",
                "High",
                "Hwy",
                "Row",
                "Hill",
                "Broadway",
                "Grove",
            ),
        ),
        (
            rf"(?<![\w])(?:[A-ZÄÖÜ][\w-]{{1,30}} ){{0,2}}?(?:{_GERMAN_STREET}) \d{{1,4}}[a-z]?{_GERMAN_TOWN}?(?![\w])",
            ("str", "Str", "gasse", "llee", "latz", "damm", "ufer", "weg", "Weg"),
        ),
        (
            rf"{_NUMBER}(?: bis| ter)?,? {_FRENCH_STREET}{_TOWN}(?:,? \d{{5}} {_TOWN})?",
            ("rue", "avenue", "boulevard", "place", "impasse", "allée", "chemin", "quai", "cours"),
        ),
        (
            rf"(?<![\w])(?:ul|al|pl|os)\. {_CAP}(?: {_CAP}){{0,2}} \d{{1,4}}[a-z]?(?:/\d{{1,4}})?(?:,? \d{{2}}-\d{{3}} {_CAP})?(?![\w])",
            ("ul. ", "al. ", "pl. ", "os. "),
        ),
        (
            rf"(?<![\w])(?:Calle|Avenida|Avda\.|Paseo) (?:de |del |la |las |los )*{_TOWN},? (?:n\.?º ?)?\d{{1,4}}(?:,? \d{{5}} {_CAP})?(?![\w])",
            ("Calle", "Avenida", "Avda.", "Paseo"),
        ),
        (
            rf"(?<![\w])(?:Via|Viale|Piazza|Corso) (?:di |del |della )?{_TOWN},? \d{{1,4}},? \d{{5}} {_CAP}",
            ("Via", "Piazza", "Corso"),
        ),
        (
            r"\bP\.? ?O\.? Box \d{1,6}(?![\w])",
            ("Box",),
        ),
    )
)


def _addresses(text: str) -> Spans:
    for pattern, literals in _ADDRESSES:
        if any(literal in text for literal in literals):
            yield from (match.span() for match in pattern.finditer(text))


_RULES: tuple[tuple[str, Callable[[str], Spans]], ...] = (
    # The most certain and the longest first: a key holds what looks like a number, an address what looks like a code.
    ("PRIVATE_KEY", _private_keys),
    ("PASSWORD", _url_passwords),
    ("API_KEY", _keys),
    ("EMAIL", _mails),
    ("IBAN", _ibans),
    ("CARD", _cards),
    ("ADDRESS", _addresses),
    ("PHONE", _phones),
)
KINDS = tuple(kind for kind, _ in _RULES)
