"""What a question says outright of when, in what kind and where something was written: read by rule, without a model.

Pure text handling, of English. A rule reads what can hardly mean anything else ("in March 2023", "in your posts
about"); what a sentence means beyond that is for a language model, see `understanding.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from twin_core.records import Category

Period = tuple[date | None, date | None]
"""First day, and first day after."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_MOMENT = rf"""(?:
    (?P<iso@>{_YEAR}-\d\d(?:-\d\d)?)
  | (?:the\ )?(?P<day@>{_DAY})(?:\ of)?\ (?P<month@>{_MONTH}),?\ (?P<year@>{_YEAR})
  | (?P<month_@>{_MONTH})\ (?P<day_@>{_DAY}),?\ (?P<year_@>{_YEAR})
  | (?P<month__@>{_MONTH})(?:,|\ of)?\ (?P<year__@>{_YEAR})
  | (?:the\ (?:summer|autumn|fall|winter|spring|beginning|start|middle|end)\ of\ |(?:early|mid|late)[\ -])?
    (?P<year___@>{_YEAR})(?![\d-]|\.\d)
)"""
_ONE, _OTHER = _MOMENT.replace("@", "1"), _MOMENT.replace("@", "2")
_UNIT = r"(?P<unit>day|week|month|year)s?"
_NUMBER = r"(?P<number>\d{1,3}|two|three|four|five|six|seven|eight|nine|ten|twelve)"
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
            "twelve": 12}  # fmt: skip

_OWN = r"(?:my|your|his|her|their|the)"
_KINDS = {
    Category.ARTICLE: r"(?:articles?|essays?|blog\ posts?|blog\ entr(?:y|ies)|newsletters?)",
    Category.POST: r"(?:(?<!blog\ )posts?|tweets?|toots?)",
    Category.CODE: r"(?:code|repositor(?:y|ies)|scripts?)",
}
_HOLDERS = r"(?:notes?|posts?|articles?|blog|repo(?:sitory)?|feed|account|newsletter|page|site|threads?|tweets?)"
_WROTE = (
    r"(?:wrote|written|posted|published|said|shared|mentioned"
    r"|did\ (?:\w+\ ){1,2}(?:write|post|publish|say|share|mention))"
)
_PLACE = r"(?P<place>[\w][\w.-]*(?:\ [\w.-]+)?)"
_FRAME = re.compile(
    r"^(?:please\s+)?(?:(?:what|where|when|how|which)\s+)?(?:did|do|does|have|has|had)\s+(?:\w+\s+){1,2}?"
    r"(?:ever\s+)?(?:write|written|say|said|post|posted|publish|published|share|shared|mention|mentioned)\s+"
    r"(?:something\s+|anything\s+)?(?:about|on|regarding)\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What was read out of a question, and what is left of it to search for."""

    text: str
    written_from: datetime | None = None
    written_to: datetime | None = None
    """Exclusive."""
    categories: tuple[Category, ...] = ()
    places: tuple[str, ...] = ()
    """Names of sources or platforms as the question gives them, lower case. Whether there is such a source is not known."""


def stated(question: str, today: date) -> Stated:
    """What the question says outright. Nothing said, or no words left beside it: the question as it is."""
    first, last, dates = _dates(question, today)
    categories = [(kind, found.span()) for kind, rule in _CATEGORY_RULES for found in rule.finditer(question)]
    places = [(found["place"].lower(), found.span()) for rule in _PLACE_RULES for found in rule.finditer(question)]
    return Stated(
        text=_left(question, [*dates, *(span for _, span in categories)]),
        written_from=_moment(first),
        written_to=_moment(last),
        categories=tuple(dict.fromkeys(kind for kind, _ in categories)),
        places=tuple(dict.fromkeys(place for place, _ in places)),
    )


def _left(question: str, spans: Sequence[tuple[int, int]]) -> str:
    """The question without these parts and without the frame around what is asked for ("what did you write about")."""
    text = question
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]} {text[end:]}"
    text = _FRAME.sub("", re.sub(r"\s+([?.,!])", r"\1", " ".join(text.split()).strip(" ,"))) if spans else text
    return text if re.search(r"\w", text) else question


# Dates


def _dates(question: str, today: date) -> tuple[date | None, date | None, list[tuple[int, int]]]:
    """The first rule that finds something decides: the most telling ones come first."""
    for rule, read in _DATE_RULES:
        if found := rule.search(question):
            period = read(found, today)
            if period is not None:
                return (*period, [found.span()])
    return None, None, []


def _between(found: re.Match[str], _today: date) -> Period | None:
    one, other = _period(found, "1"), _period(found, "2")
    return (one[0], other[1]) if one and other and one[0] < other[1] else None


def _since(found: re.Match[str], _today: date) -> Period | None:
    period = _period(found, "1")
    return (period[0], None) if period else None


def _after(found: re.Match[str], _today: date) -> Period | None:
    period = _period(found, "1")
    return (period[1], None) if period else None


def _before(found: re.Match[str], _today: date) -> Period | None:
    period = _period(found, "1")
    return (None, period[0]) if period else None


def _until(found: re.Match[str], _today: date) -> Period | None:
    period = _period(found, "1")
    return (None, period[1]) if period else None


def _in(found: re.Match[str], _today: date) -> Period | None:
    return _period(found, "1")


def _calendar(found: re.Match[str], today: date) -> Period | None:
    """A week, month or year of the calendar: the present one or the last."""
    start = {
        "week": today - timedelta(days=today.weekday()),
        "month": today.replace(day=1),
        "year": today.replace(month=1, day=1),
    }[found["unit"].lower()]
    if found["which"].lower() == "this":
        return start, today + timedelta(days=1)
    before = start - timedelta(days=1)
    first = {"week": start - timedelta(days=7), "month": before.replace(day=1), "year": before.replace(month=1, day=1)}
    return first[found["unit"].lower()], start


def _past(found: re.Match[str], today: date) -> Period | None:
    """The last so many days, weeks, months or years up to today."""
    said = (found["number"] or "1").lower()
    number = int(said) if said.isdigit() else _NUMBERS[said]
    days = {"day": 1, "week": 7, "month": 30.44, "year": 365.25}[found["unit"].lower()] * number
    return today - timedelta(days=min(round(days), 36_500)), today + timedelta(days=1)


def _period(found: re.Match[str], number: str) -> tuple[date, date] | None:
    """The day, month or year of the moment with this number; None when the calendar has no such day."""
    parts = {name: value for name, value in found.groupdict().items() if value and name.endswith(number)}
    fields = {name.rstrip("_" + number): value for name, value in parts.items()}
    if "iso" in fields:
        year, month, day = (int(part) for part in (fields["iso"] + "-0").split("-")[:3])
    else:
        year = int(fields["year"])
        month = _MONTHS.index(fields["month"][:3].lower()) + 1 if "month" in fields else 0
        day = int(re.sub(r"\D", "", fields["day"])) if "day" in fields else 0
    try:
        start = date(year, month or 1, day or 1)
    except ValueError:
        return None
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, date(year + month // 12, month % 12 + 1, 1)
    return start, date(year + 1, 1, 1)


def _moment(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){pattern}(?!\w)", re.IGNORECASE | re.VERBOSE)


_DATE_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], Period | None]], ...] = (
    (_rule(rf"between\ {_ONE}\ and\ {_OTHER}"), _between),
    (_rule(rf"(?:from\ |in\ )?{_ONE}\ ?(?:to|until|till|through|-|–)\ ?{_OTHER}"), _between),
    (_rule(rf"(?:since\ {_ONE})"), _since),
    (_rule(rf"(?:from\ )?{_ONE}\ (?:onwards?|and\ later|or\ later)"), _since),
    (_rule(rf"after\ {_ONE}"), _after),
    (_rule(rf"(?:before|prior\ to)\ {_ONE}"), _before),
    (_rule(rf"(?:until|till|up\ to)\ {_ONE}"), _until),
    (_rule(rf"(?:back\ )?(?:in|during|throughout|within|from|of|on)\ {_ONE}"), _in),
    (_rule(rf"(?:{_OWN}\ )?{_ONE}(?=\ {_HOLDERS}\b)"), _in),
    (_rule(r"(?:in\ |from\ |during\ )?(?P<which>this|last)\ (?P<unit>week|month|year)"), _calendar),
    (_rule(rf"(?:in|over|during|within|from)\ the\ (?:last|past)\ (?:{_NUMBER}\ )?{_UNIT}"), _past),
)
_CATEGORY_RULES = tuple(
    (kind, _rule(pattern))
    for kind, noun in _KINDS.items()
    for own in (_OWN if kind is not Category.CODE else r"(?:your|his|her|their)",)  # "in my code" is a subject
    for pattern in (
        rf"(?:in|from|among|across)\ (?:one\ of\ |any\ of\ |all\ )?{own}\ {noun}",
        rf"{own}\ {noun}(?=\ (?:about|on)\ )(?:\ (?:about|on))",
        *(() if kind is Category.CODE else (rf"(?:which|what|any)\ {noun}\ (?:about|on|did|have|do|does)",)),
    )
)
_PLACE_RULES = (
    _rule(rf"{_WROTE}\ (?:[^.?!]{{0,80}}?\ )?on\ (?:{_OWN}\ )?{_PLACE}"),
    _rule(rf"(?:(?:in|on|from)\ )?{_OWN}\ {_PLACE}\ {_HOLDERS}"),
    _rule(rf"(?:in|on|from)\ {_OWN}\ (?P<place>blog|newsletter|website|site)"),
    _rule(rf"{_HOLDERS}\ (?:on|from)\ (?:{_OWN}\ )?{_PLACE}"),
)
